# Makes a phone's view of the file system, and keeps it: namespace.sh VIEW TABLE
# Runs in a user and mount namespace of its own (unshare -rm). VIEW is a folder that becomes /, which is read-only as on
# a phone; TABLE says in fstab's form what is mounted in it. Says "ready", and stays until its standard input ends: then
# whatever still runs inside is killed.
set -eu
PATH=$PATH:/usr/sbin:/sbin
mount --bind "$1" "$1"
mount --all --fstab "$2"
cd "$1"
pivot_root . .old
cd /
umount -l /.old
mount -o remount,bind,ro /
echo ready
while read -r _; do :; done
mine=$(readlink "/proc/$$/ns/mnt")
for process in /proc/[0-9]*; do
  pid=${process#/proc/}
  if [ "$pid" != $$ ] && [ "$(readlink "$process/ns/mnt" 2>/dev/null)" = "$mine" ]; then kill -9 "$pid" 2>/dev/null || :; fi
done
