#!/bin/sh
# What this booted system says of itself: one line per fact, words split by TABs, the last line is "end".
# The same file runs in the twin and on the metal. POSIX sh, few forks (a fork is slow when emulated).
# Run it as `sh health.sh VERB ...`; a verb is a function verb_NAME. More verbs go before "#: dispatch".
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
TAB='	'
FACTS_WORK=/run/twinboot/health
FACTS_CHECK_LIMIT=60   # seconds one site check may take
FACTS_CHECK_OUTPUT=4096 # bytes of its output that are kept
FACTS_MAX_ERRORS=200   # kernel messages told at most

say() {
    facts_line=$1
    shift
    for facts_word; do facts_line="$facts_line$TAB$facts_word"; done
    printf '%s\n' "$facts_line"
}

# Whole seconds since the kernel started, printed, or in the variable now (which costs no fork).
facts_uptime() {
    facts_clock
    echo "$now"
}

facts_clock() {
    read -r now _ </proc/uptime
    now=${now%%.*}
}

# Reads the default target into target, active and entered (microseconds since the kernel started).
facts_target() {
    target='' active='' entered=0
    facts_text=$(systemctl show -p Id -p ActiveState -p ActiveEnterTimestampMonotonic default.target 2>/dev/null)
    while IFS='=' read -r facts_key facts_value; do
        case $facts_key in
        Id) target=$facts_value ;;
        ActiveState) active=$facts_value ;;
        ActiveEnterTimestampMonotonic) entered=$facts_value ;;
        esac
    done <<EOF
$facts_text
EOF
    [ -n "$entered" ] || entered=0
}

# Waits up to $1 seconds for the queued jobs to end, then until $2 seconds after the target was reached, so
# that a service that dies soon after its start is seen dead. $FACTS_OWN_JOBS queued jobs are the caller's.
# It asks rarely: on an emulated machine each question slows the very boot it asks about.
facts_settle() {
    settled=no
    facts_clock
    facts_until=$((now + $1))
    while :; do
        facts_jobs=$(systemctl show -p NJobs 2>/dev/null)
        facts_jobs=${facts_jobs#NJobs=}
        if [ -n "$facts_jobs" ] && [ "$facts_jobs" -le "${FACTS_OWN_JOBS:-0}" ]; then
            settled=yes
            break
        fi
        facts_clock
        [ "$now" -lt "$facts_until" ] || break
        sleep 4
    done
    facts_target
    [ "$active" = active ] || return 0
    facts_clock
    facts_since=$((now - entered / 1000000))
    [ "$facts_since" -ge "$2" ] || sleep $(($2 - facts_since))
}

facts_boot() {
    read -r facts_kernel </proc/sys/kernel/osrelease
    read -r facts_cmdline </proc/cmdline
    say target "$target"
    if [ "$active" = active ]; then say reached yes "$entered"; else say reached no 0; fi
    say settled "$settled"
    say kernel "$facts_kernel"
    say cmdline "$facts_cmdline"
    facts_clock
    say uptime "$now"
    say virt "$(systemd-detect-virt 2>/dev/null || echo none)"
}

# Every unit in one call; then the restart counts of what runs in one more, and the conditions of what ran.
facts_units() {
    facts_running='' facts_ran=''
    facts_text=$(systemctl list-units --all --plain --no-legend --no-pager --full 2>/dev/null)
    while read -r facts_unit _ facts_active facts_sub _; do
        case $facts_active/$facts_sub/$facts_unit in
        failed/*) say failed "$facts_unit" "$facts_sub" ;;
        activating/auto-restart/*) say failed "$facts_unit" auto-restart ;;
        activating/*.service) say starting "$facts_unit" "$facts_sub" ;;
        active/running/*.service)
            say service "$facts_unit" running
            facts_running="$facts_running $facts_unit"
            ;;
        active/*.service)
            say service "$facts_unit" "$facts_sub"
            facts_ran="$facts_ran $facts_unit"
            ;;
        esac
    done <<EOF
$facts_text
EOF
    [ -z "$facts_ran" ] || facts_seldom
    [ -n "$facts_running" ] || return 0
    # shellcheck disable=SC2086 # unit names hold no blanks
    facts_text=$(systemctl show -p Id -p NRestarts -p WantedBy -p RequiredBy $facts_running 2>/dev/null)
    facts_unit='' facts_count=0 facts_wanted=''
    # The properties of a unit come in any order, an empty line between units.
    while IFS='=' read -r facts_key facts_value; do
        case $facts_key in
        Id) facts_unit=$facts_value ;;
        NRestarts) facts_count=$facts_value ;;
        WantedBy | RequiredBy) facts_wanted=$facts_wanted$facts_value ;;
        '')
            [ "$facts_count" = 0 ] || say restarts "$facts_unit" "$facts_count"
            [ -n "$facts_wanted" ] || say on-demand "$facts_unit"
            facts_unit='' facts_count=0 facts_wanted=''
            ;;
        esac
    done <<EOF
$facts_text

EOF
}

# Which of $facts_ran start only after an update of /usr or in the first boot (systemd.unit(5)).
facts_seldom() {
    # shellcheck disable=SC2086 # unit names and the paths of their files hold no blanks
    facts_text=$(systemctl show -p FragmentPath $facts_ran 2>/dev/null | sed -n 's/^FragmentPath=//p')
    # shellcheck disable=SC2086
    facts_text=$(grep -slE '^Condition(NeedsUpdate|FirstBoot)=' $facts_text /dev/null)
    for facts_file in $facts_text; do say seldom "${facts_file##*/}"; done
}

# Units that our drop-ins keep quiet, and whether systemd wanted to start them in this boot.
facts_quiet() {
    facts_names=''
    for facts_file in /etc/systemd/system/*.d/50-twinboot-quiet.conf \
        /run/systemd/system/*.d/50-twinboot-quiet.conf \
        /run/systemd/generator/*.d/50-twinboot-quiet.conf; do
        [ -e "$facts_file" ] || continue
        facts_unit=${facts_file%.d/*}
        facts_unit=${facts_unit##*/}
        # A drop-in for a whole type lies in "timer.d": that is no unit.
        case $facts_unit in *.*) facts_names="$facts_names $facts_unit" ;; esac
    done
    [ -n "$facts_names" ] || return 0
    # shellcheck disable=SC2086
    facts_text=$(systemctl show -p Id -p ConditionTimestampMonotonic $facts_names 2>/dev/null)
    facts_unit='' facts_count=''
    while IFS='=' read -r facts_key facts_value; do
        case $facts_key in
        Id) facts_unit=$facts_value ;;
        ConditionTimestampMonotonic) facts_count=$facts_value ;;
        esac
        if [ -n "$facts_unit" ] && [ -n "$facts_count" ]; then
            if [ "$facts_count" = 0 ]; then say quiet "$facts_unit" idle; else say quiet "$facts_unit" wanted; fi
            facts_unit='' facts_count=''
        fi
    done <<EOF
$facts_text
EOF
}

facts_process() {
    facts_name=${1#*\(\(\"}
    facts_name=${facts_name%%\"*}
    case $facts_name in
    '' | *[!A-Za-z0-9._:+@/-]*) facts_name=- ;;
    esac
}

facts_sockets() {
    if facts_text=$(ss -Htulnp 2>/dev/null); then
        while read -r facts_proto _ _ _ facts_local _ facts_rest; do
            [ -n "$facts_local" ] || continue
            facts_process "$facts_rest"
            say socket "$facts_proto:${facts_local##*:}" "${facts_local%:*}" "$facts_name"
        done <<EOF
$facts_text
EOF
        return 0
    fi
    for facts_file in tcp tcp6 udp udp6; do
        [ -r /proc/net/$facts_file ] || continue
        while read -r _ facts_local _ facts_state _; do
            case ${facts_file%6}/$facts_state in
            tcp/0A | udp/07) ;;
            *) continue ;;
            esac
            case ${facts_local%:*} in
            00000000) facts_name=0.0.0.0 ;;
            0100007F) facts_name=127.0.0.1 ;;
            00000000000000000000000000000000) facts_name='[::]' ;;
            00000000000000000000000001000000) facts_name='[::1]' ;;
            *) facts_name=${facts_local%:*} ;;
            esac
            say socket "${facts_file%6}:$((0x${facts_local##*:}))" "$facts_name" -
        done </proc/net/$facts_file
    done
}

# The subvolume that is mounted, from the file system's type $1 and options $2: the last of them on btrfs.
facts_part() {
    case $1:$2 in
    btrfs:*,subvol=*)
        facts_options=${2%% *}
        echo "[${facts_options##*,subvol=}]"
        ;;
    esac
}

# Mounts of disks and of servers; not the kernel's own file systems, not ours below /run.
facts_mounts() {
    while read -r facts_source facts_where facts_type facts_rest; do
        [ "$facts_where" != / ] || say root "$facts_source$(facts_part "$facts_type" "$facts_rest")"
        case $facts_where in /run/*) continue ;; esac
        case $facts_source in
        /dev/* | *:/* | //*) say mount "$facts_where" "$facts_type" "$facts_source" ;;
        *) [ "$facts_where" != / ] || say mount / "$facts_type" "$facts_source" ;;
        esac
    done </proc/self/mounts
    facts_text=$(df -P -k -l 2>/dev/null)
    while read -r facts_source _ _ facts_avail _ facts_where; do
        case $facts_source:$facts_where in
        *:/run/*) ;;
        *:/ | /dev/*) say free "$facts_where" "$facts_avail" ;;
        esac
    done <<EOF
$facts_text
EOF
}

facts_packages() {
    dpkg-query -W -f='package\t${binary:Package}\t${Version}\t${db:Status-Abbrev}\n' 2>/dev/null
}

facts_kernel() {
    facts_text=$(dmesg --facility=kern --level=emerg,alert,crit,err --notime 2>/dev/null)
    facts_count=0
    while IFS= read -r facts_rest; do
        [ -n "$facts_rest" ] || continue
        facts_count=$((facts_count + 1))
        [ "$facts_count" -le "$FACTS_MAX_ERRORS" ] || break
        say kerr "$facts_rest"
    done <<EOF
$facts_text
EOF
}

facts_network() {
    while read -r facts_if facts_where facts_gw facts_flags _; do
        [ "$facts_where/$facts_flags" = 00000000/0003 ] || continue
        facts_net=${facts_gw#??????}
        facts_gw=${facts_gw%??}
        facts_net="$((0x$facts_net)).$((0x${facts_gw#????}))"
        facts_gw=${facts_gw%??}
        facts_net="$facts_net.$((0x${facts_gw#??})).$((0x${facts_gw%??}))"
        say gateway "$facts_net" "$facts_if"
    done </proc/net/route
}

# Runs every executable of folder $2 as a check of kind $1 (required or wanted), named $3/FILE.
facts_site_folder() {
    for facts_file in "$2"/*; do
        if [ ! -f "$facts_file" ] || [ ! -x "$facts_file" ]; then continue; fi
        facts_name=${facts_file##*/}
        case $facts_name in
        *[!A-Za-z0-9._-]*)
            say site "$1" "$3/(a name that cannot be used)" 126
            continue
            ;;
        esac
        # Output goes through a file: a check that leaves a daemon behind would hold a pipe open for ever.
        timeout -k 5 "$FACTS_CHECK_LIMIT" "$facts_file" >"$FACTS_WORK/out" 2>&1 </dev/null
        say site "$1" "$3/$facts_name" $?
        facts_text=$(head -c "$FACTS_CHECK_OUTPUT" "$FACTS_WORK/out" 2>/dev/null)
        while IFS= read -r facts_rest; do
            [ -z "$facts_rest" ] || say site-output "$3/$facts_name" "$facts_rest"
        done <<EOF
$facts_text
EOF
    done
}

facts_site() {
    mkdir -p "$FACTS_WORK"
    facts_site_folder required /etc/greenboot/check/required.d required.d
    facts_site_folder wanted /etc/greenboot/check/wanted.d wanted.d
    facts_site_folder required /etc/twinboot/checks.d checks.d
    [ -z "$1" ] || facts_site_folder required "$1" stick
    rm -f "$FACTS_WORK/out"
}

# facts_collect LIMIT GRACE [SITE]: wait for the boot to settle, then print every fact.
facts_collect() {
    say schema 1
    facts_settle "$1" "$2"
    facts_boot
    facts_units
    facts_quiet
    facts_sockets
    facts_mounts
    facts_network
    facts_kernel
    facts_packages
    facts_site "${3:-}"
    say end
}

# facts [--limit SECONDS] [--grace SECONDS] [--site FOLDER]
verb_facts() {
    facts_limit=900 facts_grace=10 facts_folder=''
    while [ $# -ge 2 ]; do
        case $1 in
        --limit) facts_limit=$2 ;;
        --grace) facts_grace=$2 ;;
        --site) facts_folder=$2 ;;
        *) break ;;
        esac
        shift 2
    done
    if [ $# -gt 0 ]; then
        echo "health.sh: facts [--limit SECONDS] [--grace SECONDS] [--site FOLDER]" >&2
        return 64
    fi
    facts_collect "$facts_limit" "$facts_grace" "$facts_folder"
}

#: dispatch
case ${1:-} in
'' | *[!a-z_]*)
    echo "health.sh: name a verb, such as facts" >&2
    exit 64
    ;;
esac
health_verb=verb_$1
shift
"$health_verb" "$@"
