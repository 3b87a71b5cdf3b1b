#!/bin/sh
# Show or replace the key file of one account, which says what a Crossway gateway may do here; nothing else.
# The first line of the input is the verb. "replace" is followed by the new lines and by one that says "end".
set -eu
LC_ALL=C
PATH=/usr/bin:/bin:/usr/sbin:/sbin
export LC_ALL PATH
umask 077
file='@FILE@'
limit_bytes=1048576
key='(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,2}'
# No line passes without an address: without one, forwarding would be allowed to everywhere.
address='permitopen="(\[[0-9a-f:]+\]|[a-z0-9.-]+):[0-9]{1,5}"'
line="^(cert-authority,)?restrict,port-forwarding,permitlisten=\"localhost:1\",command=\"/bin/false\"(,$address)+ $key\$"

refuse() {
  echo "refused: $1" >&2
  exit 65
}

replace() {
  draft=$(mktemp "$file.XXXXXX")
  trap 'rm -f "$draft" "$draft.lines"' EXIT
  trap 'exit 1' HUP INT TERM
  head -c "$limit_bytes" >"$draft"
  [ "$(tr -d '\012\040-\176' <"$draft" | wc -c)" -eq 0 ] || refuse 'a byte is not printable'
  [ "$(tail -n 1 "$draft")" = end ] || refuse 'the last line is not "end": cut short, or too long'
  sed '$d' "$draft" >"$draft.lines"
  [ -s "$draft.lines" ] || refuse 'no line is left, and nobody could log in any more'
  if grep -Evq "$line" "$draft.lines"; then refuse 'a line is not a restricted key with addresses'; fi
  sync "$draft.lines" 2>/dev/null || sync
  mv -f "$draft.lines" "$file"
  echo replaced
}

# The value of an sshd setting outside of Match blocks, as far as its files can be read by everybody.
setting() {
  for each in /etc/ssh/sshd_config.d/*.conf /etc/ssh/sshd_config; do
    [ ! -r "$each" ] || awk -v name="$1" \
      'tolower($1) == "match" { exit } tolower($1) == name { print $2; exit }' "$each"
  done | head -n 1
}

facts() {
  echo "clock $(date +%s)"
  echo "nofile $(ulimit -n)"
  [ ! -r /etc/ssh/sshd_config ] || for name in maxstartups maxsessions; do echo "$name $(setting "$name")"; done
}

IFS= read -r verb || verb=''
case $verb in
  show) cat "$file" ;;
  facts) facts ;;
  replace) replace ;;
  *) refuse 'say show, facts or replace' ;;
esac
