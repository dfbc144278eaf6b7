# Runs servers for tests, and ends them when the last process that holds the door has gone.
#
# stdin: the read end of the door, a pipe; its lines are calls of the functions below.
# $1: the directory with all that the servers write; it is removed at the end.
# $2: seconds to wait for another holder after the last one has gone.
# $3: the file that leads other processes to the directory; it is removed with it.
directory=$1 grace=$2 pointer=$3
cd "$directory" || exit 1
# The system sends it to the group when the tests die while the server is stopped.
trap '' HUP
# Pipes of whoever runs the tests, who would wait for their end.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
names= psql= port=

# run NAME COMMAND..: starts a command; its pid, output and exit status go to files named after it.
run() {
    name=$1
    shift
    names="$names $name"
    (
        "$@" >>"$name.log" 2>&1 &
        echo $! >"$name.pid~" && mv "$name.pid~" "$name.pid"
        wait $!
        echo $? >"$name.exit~" && mv "$name.exit~" "$name.exit"
    ) </dev/null >/dev/null 2>&1 &
}

# serves PSQL PORT: says how to reach the server.
serves() {
    psql=$1 port=$2
}

# drop NAME: removes a database of the server.
drop() {
    [ -x "$psql" ] || return
    PGCONNECT_TIMEOUT=5 PGOPTIONS='-c statement_timeout=10s' "$psql" -Xqw -h "$directory" -p "$port" \
        -U postgres -d postgres -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)" </dev/null >>drop.log 2>&1
}

# hello: said by a process that joins.
hello() { :; }

family() {
    echo "$1"
    if [ -e /proc/self/status ]; then
        grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | cut -d/ -f3
    else
        ps -A -o pid= -o ppid= | awk -v parent="$1" '$2 == parent { print $1 }'
    fi
}

end() {
    kill -CONT $(family "$1") 2>/dev/null
    kill -INT "$1" 2>/dev/null
    tries=0
    while kill -0 "$1" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ]; then
            # Stopped first, so that no child is born between the look and the kill.
            kill -STOP "$1" 2>/dev/null
            kill -KILL $(family "$1") 2>/dev/null
        fi
        sleep 0.05
    done
}

serve() {
    came=
    while IFS= read -r line; do
        came=yes
        eval "$line"
    done
}

serve
if [ "$grace" != 0 ]; then
    while
        sleep "$grace"
        serve
        [ "$came" ]
    do :; done
    # From here on nobody can join; who did so at the last moment is served to the end.
    mv door door.closed
    serve
fi

for name in $names; do
    # One that was asked for a moment ago may not have its pid yet.
    tries=0
    until [ -e "$name.pid" ] || [ "$tries" -ge 100 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
    [ ! -e "$name.pid" ] || [ -e "$name.exit" ] || end "$(cat "$name.pid")"
done
# For the last words of those that waited for them.
wait
# A server that was killed leaves its System V segment behind; line 7 of the file holds key and id.
if [ -e data/postmaster.pid ]; then
    ipcrm -m "$(sed -n '7s/.* //p' data/postmaster.pid)" 2>/dev/null
fi
if [ "$pointer" ] && [ "$(cat "$pointer" 2>/dev/null)" = "$directory" ]; then
    rm -f "$pointer"
fi
cd / && rm -rf "$directory"
rmdir "${directory%/*}" 2>/dev/null
exit 0
