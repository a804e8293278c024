#!/usr/bin/env bash
# One database and one role for each service, which no other service's role can open. Runs at each start, so that it also
# does for a database that was there before.
set -euo pipefail

export PGHOST=postgres PGUSER=postgres PGDATABASE=postgres PGCONNECT_TIMEOUT=10
PGPASSWORD=$(cat /secrets/values/postgres_password)
export PGPASSWORD

if ! psql --quiet --no-psqlrc --command='SELECT 1' >/dev/null; then
    echo "databases: PostgreSQL does not take the password of the volume 'secrets'. Volumes 'secrets' and 'postgres' belong" >&2
    echo "together: delete both, with all orders (docker compose down -v), or put the old 'secrets' back." >&2
    exit 1
fi

for NAME in orchestrator inventory payments shipping; do
    export NAME
    psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 <<'SQL'
\set name `printf %s "$NAME"`
\set password `cat "/secrets/values/${NAME}_password"`
SELECT format('CREATE ROLE %I', :'name') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" LOGIN PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
    echo "databases: $NAME is there"
done
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --command='REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC'
