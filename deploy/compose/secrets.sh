#!/bin/sh
# Makes every secret that is not there yet, and gives each service the files that it reads and no others. Runs at each start;
# what is there stays as it is. Also hands the volumes of those who are not root to their users.
set -eu
umask 077

# ended CODE: says what a failure most likely is.
ended() {
    [ "$1" -eq 0 ] || echo "secrets: a volume cannot be written (see above). Is the disk full? docker system df" >&2
}
trap 'ended $?' EXIT

SERVICE=10001  # the user of our images
POSTGRES=999
TEMPORAL=1000
GRAFANA=472

# made NAME: the secret of that name, made on its first use.
made() {
    file=/secrets/values/$1
    if [ ! -s "$file" ]; then
        od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$file.draft"
        [ "$(wc -c <"$file.draft")" -eq 48 ]
        mv "$file.draft" "$file"
        echo "secrets: made $1" >&2
    fi
    cat "$file"
}

# give PART USER FILE VALUE: a file that this user can read, in the part of the volume that is mounted for them.
give() {
    mkdir -p "/secrets/$1"
    draft=/secrets/$1/.draft
    rm -f "$draft"
    printf %s "$4" >"$draft"
    chown "$2:$2" "$draft"
    chmod 0400 "$draft"
    mv "$draft" "/secrets/$1/$3"
    chown "$2:$2" "/secrets/$1"
    chmod 0500 "/secrets/$1"
}

mkdir -p /secrets/values
operator=$(made operator_token)
webhook=$(made webhook_secret)

for name in orchestrator inventory payments shipping; do
    password=$(made "${name}_password")
    give "$name" "$SERVICE" "${name}_database_url" "postgresql://$name:$password@postgres:5432/$name"
    give "$name" "$SERVICE" "${name}_operator_token" "$operator"
done
give shipping "$SERVICE" shipping_webhook_secret "$webhook"
give sandbox "$SERVICE" sandbox_webhook_secret "$webhook"
give sandbox "$SERVICE" sandbox_operator_token "$operator"
give tools "$SERVICE" operator_token "$operator"
give postgres "$POSTGRES" postgres_password "$(made postgres_password)"
give grafana "$GRAFANA" grafana_password "$(made grafana_password)"
give temporal "$TEMPORAL" temporal_password "$(made temporal_password)"
give temporal-postgres "$POSTGRES" temporal_password "$(made temporal_password)"

chown "$TEMPORAL:$TEMPORAL" /volumes/temporal
chown "$SERVICE:$SERVICE" /volumes/sandbox
