# People sign, one takes it back, and the letter is read in public, on the example campaign, in a
# folder of its own: `make demo-sign`.
set -eu
petition=$1 folder=$2 python=$3

. "$(dirname "$0")/show.sh"

# The pages, at $base while they are open; a web server would be in front of them.
serving=
open_pages() {
    echo '$ petition serve --sign --port 0 &'
    echo
    : >"$folder/serve.txt"
    "$petition" -C "$folder" serve --sign --port 0 >"$folder/serve.txt" 2>&1 &
    serving=$!
    while ! grep -q '^Listening on' "$folder/serve.txt"; do
        kill -0 $serving || { cat "$folder/serve.txt"; exit 1; }
        sleep 0.1
    done
    base=$(sed -n 's|^Listening on \(http://[^/]*\)/.*|\1|p' "$folder/serve.txt")
}
stop() {
    test -z "$serving" || kill $serving
}
trap stop EXIT
close_pages() {
    stop
    wait $serving
    serving=
    echo "What petition serve has printed:"
    echo
    sed 's/^/  /' "$folder/serve.txt"
    echo
}

signatory() {
    "$python" scripts/signatory.py "$@"
}

cat >>"$folder/petition.toml" <<'END'

[inbox]
url = "maildir:answers"

[sign]
page = "https://campaign-kazakhstan.example/sign"
mailto = "sign@campaign-kazakhstan.example"
letter = "open-letter"
END

open_pages
echo "Nora Whitcombe signs with the form:"
echo
signatory form "$base" name='Nora Whitcombe' email=nora.whitcombe@mail.example \
    role=nurse place=Leeds country=GB publish=yes
echo "She opens the link in the mail and presses the button:"
echo
signatory press "$base" "$folder" nora.whitcombe@mail.example confirm
close_pages

echo "Tomasz Wierzba signs by mail:"
echo
signatory mail "$folder" 'Tomasz Wierzba <t.wierzba@mail.example>' <<'END'
Name: Tomasz Wierzba
Role: crane driver
Place and country: Gdynia, Poland
My name may be shown (yes or no): yes
END
show inbox --once
echo "The mail that asks is in ./outbox. He answers it:"
echo
signatory reply "$folder" 'Tomasz Wierzba <t.wierzba@mail.example>' Yes
show inbox --once

echo "Ines Vauquelin has signed with a form elsewhere, whose export is now signatories.csv:"
echo
{
    echo 'Full name,Occupation,Organisation,City,Country,kind,Email address,Timestamp,Show my name,Send me news'
    sed 1d "$folder/signatories.csv"
    echo 'Ines Vauquelin,geologist,,Marseille,France,,i.vauquelin@mail.example,2015-09-24,yes,no'
} >"$folder/export.csv"
mv "$folder/export.csv" "$folder/signatories.csv"
sed -n '1p;$p' "$folder/signatories.csv"
echo

show signatures
show signatures --approve all --yes
show signatures --export
open_pages
echo "Nora Whitcombe thinks better of it. She opens the same link, and withdraws:"
echo
signatory press "$base" "$folder" nora.whitcombe@mail.example withdraw
close_pages
show check
show send open-letter --yes
"$python" scripts/come_back.py "$folder" offer
echo "The first answer comes, an offer of a meeting; a person reads it, and it may be quoted:"
echo
show inbox --once
show answer weissenfels meeting --mail '<offer@kaz-minerals.example>' --public
show publish site --rehearsal
echo "That was a rehearsal: nobody received anything. Look at $folder/site/index.html in a browser: it
has the answer. Ines Vauquelin and Tomasz Wierzba are among its signatories, and in the letters
in $folder/outbox; Nora Whitcombe is in neither."
