#!/bin/sh
# The two databases of a Temporal server on PostgreSQL, at the newest version that these tools know. May run again at any time.
set -eu

SQL_PASSWORD=$(cat /run/secrets/temporal_password)
export SQL_PASSWORD SQL_HOST=temporal-postgres SQL_PORT=5432 SQL_USER=temporal SQL_PLUGIN=postgres12
schemas=/etc/temporal/schema/postgresql/v12

for pair in temporal:temporal temporal_visibility:visibility; do
    database=${pair%%:*}
    # The first two leave alone what is there already.
    temporal-sql-tool --database "$database" create-database
    temporal-sql-tool --database "$database" setup-schema --version 0.0
    temporal-sql-tool --database "$database" update-schema --schema-dir "$schemas/${pair##*:}/versioned"
done
