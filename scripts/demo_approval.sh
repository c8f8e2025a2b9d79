# A second person approves, on the example campaign, in a folder of its own: `make demo-approval`.
set -eu
petition=$1 folder=$2 python=$3

show() {
    echo "\$ petition $*"
    "$petition" -C "$folder" "$@" || test $? = 2 # stopped until somebody has approved
    echo
}

XDG_STATE_HOME="$(cd "$folder" && pwd)/state" # so that it can be played again
export XDG_STATE_HOME

# A mail server on this machine, which delivers nothing: to `send` it is a real one.
"$petition" -C "$folder" sandbox --json >"$folder/sandbox.json" &
sandbox=$!
trap 'kill $sandbox' EXIT
while ! test -s "$folder/sandbox.json"; do sleep 0.1; done
port=$("$python" -c 'import json, sys; print(json.load(sys.stdin)["port"])' <"$folder/sandbox.json")
export PETITION_SMTP_HOST=127.0.0.1 PETITION_SMTP_PORT="$port" PETITION_SMTP_SECURITY=none

printf '\n[approval]\nby = ["Bea Ash <bea@town.example>"]\n' >>"$folder/petition.toml"
printf '\n[inbox]\nurl = "maildir:answers"\n' >>"$folder/petition.toml"
show send open-letter --yes
"$python" scripts/approver.py "$folder" "No, because it does not say whose letter it is."
echo "Bea has read the mail, and answers. Next:"
echo
show inbox
show send open-letter --yes
sed 's/open letter/open letter of the workers/' "$folder/letters/open-letter.md" >"$folder/changed"
mv "$folder/changed" "$folder/letters/open-letter.md"
echo "The letter is changed, so that she is asked anew; she answers with the code."
echo
show send open-letter --yes
"$python" scripts/approver.py "$folder" "Now it is right: CODE"
show inbox
show send open-letter --yes
show approve
