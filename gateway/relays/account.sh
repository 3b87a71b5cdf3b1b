# Make this host a relay of a Crossway gateway: an account that forwards to the listed addresses and does nothing
# else, and one that may do no more than rewrite that list. May be repeated. Whatever fails undoes what was done.
set -eu
LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 022
base=/var/lib/crossway
home=$base/$account
caretaker_home=$base/$caretaker
program_dir=/usr/local/libexec/crossway
program=$program_dir/$account
rule=/etc/sudoers.d/crossway-$account
lockdown=/etc/ssh/sshd_config.d/crossway-$account.conf
mark='Crossway relay'
made=''
told_sshd=no

fail() {
  echo "crossway: $1" >&2
  exit 1
}

flat() { echo "$1" | tr / _; }

# Undo, the newest first, what this run made; files that it replaced come back as they were.
undo() {
  status=$?
  trap - EXIT
  set +e  # what can be undone is, whatever cannot
  if [ "$status" -ne 0 ]; then
    for each in $made; do
      case $each in
        user:*) userdel "${each#user:}" 2>/dev/null || : ;;
        dir:*) rm -rf "${each#dir:}" ;;
        file:*) rm -f "${each#file:}" ;;
        kept:*) cp -p "$kept/$(flat "${each#kept:}")" "${each#kept:}" ;;
      esac
    done
    [ "$told_sshd" = no ] || tell_sshd
    echo 'crossway: undone; this host is as it was' >&2
  fi
  rm -rf "$kept"
  exit "$status"
}

new_user() { # name, home, shell
  if known=$(getent passwd "$1"); then
    [ "$(echo "$known" | cut -d: -f5)" = "$mark" ] ||
      fail "the account $1 is somebody else's; choose another name with --account"
    return 0
  fi
  # "*" is no password and, unlike "!", no lock, by which sshd without PAM would refuse keys too.
  useradd --system --no-create-home --home-dir "$2" --shell "$3" --comment "$mark" --password '*' "$1" ||
    fail "the account $1 cannot be made"
  made="user:$1 $made"
}

new_dir() { # path, owner, mode
  [ -d "$1" ] || made="dir:$1 $made"
  mkdir -p "$1"
  chown "$2" "$1"
  chmod "$3" "$1"
}

put() { # path, owner, mode; the content is in $kept/new
  if [ -e "$1" ]; then
    cp -p "$1" "$kept/$(flat "$1")"
    made="kept:$1 $made"
  else
    made="file:$1 $made"
  fi
  made="file:$1.crossway-new $made"
  cp "$kept/new" "$1.crossway-new"
  chown "$2" "$1.crossway-new"
  chmod "$3" "$1.crossway-new"
  mv -f "$1.crossway-new" "$1"
}

check_host() {
  [ "$(id -u)" = 0 ] || fail 'this needs root: log in as root, or as one whom sudo asks for no password'
  for each in useradd userdel getent awk sed grep; do
    command -v "$each" >/dev/null || fail "the program $each is missing"
  done
  for each in sudo visudo; do
    command -v "$each" >/dev/null || fail "sudo is missing; install it, by it the list of addresses is kept up to date"
  done
  check_sshd
}

check_sshd() {
  said=$(sshd -T -C "user=$account,host=localhost,addr=127.0.0.1" 2>/dev/null) || return 0
  case $(echo "$said" | awk '$1 == "allowtcpforwarding" { print $2 }') in
    yes | local | all) ;;
    *) fail 'sshd forwards nothing here: set AllowTcpForwarding to local in sshd_config' ;;
  esac
  if echo "$said" | grep -q '^allowusers ' && ! echo "$said" | grep -Eq "^allowusers (.* )?$account( |\$)"; then
    fail "sshd lets in listed users only: add $account and $caretaker to AllowUsers in sshd_config"
  fi
  echo "$said" | grep -Eq '^authorizedkeysfile (.* )?\.ssh/authorized_keys( |$)' ||
    fail 'sshd does not read .ssh/authorized_keys: see AuthorizedKeysFile in sshd_config'
}

# Have sshd read its configuration again; connections that stand are not touched.
tell_sshd() {
  pid_file=$(sshd -T 2>/dev/null | awk '$1 == "pidfile" { print $2 }')
  if [ -r "${pid_file:-none}" ]; then
    kill -HUP "$(cat "$pid_file")"
  elif command -v systemctl >/dev/null; then
    systemctl reload ssh 2>/dev/null || systemctl reload sshd
  else
    echo 'crossway: warning: sshd must be told to read its configuration again' >&2
  fi
}

# A second lock beside the options of the keys: no session at all, whatever a key's line says.
lock_down() {
  if ! grep -Eiqs '^[[:space:]]*Include[[:space:]]+.*sshd_config\.d/\*\.conf' /etc/ssh/sshd_config; then
    echo 'crossway: note: sshd_config includes no sshd_config.d, so the options of the keys alone lock the accounts' >&2
    return 0
  fi
  cat >"$kept/new" <<END
Match User $account
    AllowTcpForwarding local
    AllowStreamLocalForwarding no
    AllowAgentForwarding no
    PermitListen none
    PermitTunnel no
    PermitTTY no
    X11Forwarding no
    MaxSessions 0
Match User $caretaker
    DisableForwarding yes
    PermitTTY no
END
  told_sshd=yes
  put "$lockdown" 0:0 644
  sshd -t 2>/dev/null || fail 'sshd does not take the lock-down of the accounts'
  tell_sshd
}

set_up() {
  nologin=$(command -v nologin || echo /bin/false)
  new_dir "$base" 0:0 755
  new_user "$account" "$home" "$nologin"
  new_user "$caretaker" "$caretaker_home" /bin/sh
  new_dir "$home" 0:0 755
  new_dir "$home/.ssh" "$account" 700
  lines >"$kept/new"
  put "$home/.ssh/authorized_keys" "$account" 600
  new_dir "$program_dir" 0:0 755
  program_text | sed "s|@FILE@|$home/.ssh/authorized_keys|" >"$kept/new"
  put "$program" 0:0 755
  new_dir "$caretaker_home" 0:0 755
  new_dir "$caretaker_home/.ssh" 0:0 755
  # Owned by root: what the caretaker may do is not the caretaker's to change.
  printf 'restrict,command="sudo -n -u %s %s" %s\n' "$account" "$program" "$caretaker_key" >"$kept/new"
  put "$caretaker_home/.ssh/authorized_keys" 0:0 644
  printf 'Defaults:%s !requiretty, !lecture\n%s ALL=(%s) NOPASSWD: %s ""\n' \
    "$caretaker" "$caretaker" "$account" "$program" >"$kept/new"
  visudo -cqf "$kept/new" >/dev/null || fail 'sudo does not take the rule for the caretaker'
  put "$rule" 0:0 440
  lock_down
}

remove() {
  for each in "$account" "$caretaker"; do
    known=$(getent passwd "$each") || continue
    [ "$(echo "$known" | cut -d: -f5)" = "$mark" ] || fail "the account $each is somebody else's"
    userdel "$each"
  done
  rm -rf "$home" "$caretaker_home"
  rm -f "$program" "$rule"
  if [ -e "$lockdown" ]; then
    rm -f "$lockdown"
    tell_sshd
  fi
}

kept=$(mktemp -d)
trap undo EXIT
trap 'exit 1' HUP INT TERM
check_host
if [ "${1:-}" = remove ]; then
  remove
  echo 'crossway: removed'
else
  set_up
  echo "crossway: ready, forwarding account $account, caretaker $caretaker"
fi
