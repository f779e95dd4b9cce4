# The metal's part of a trial: judge it, keep it or give it back. Functions only; the fact collector stands
# before this text, the dispatch after it. POSIX sh; commands of a minimal Debian (coreutils, util-linux, mawk).
CONFIRM_HOME=/var/lib/twinboot
CONFIRM_BOOT=/boot
CONFIRM_SECTOR=$CONFIRM_BOOT # where the file is mounted whose first sector decides
CONFIRM_ENV=$CONFIRM_BOOT/twinboot/env
CONFIRM_RUN=/run/twinboot
CONFIRM_CMDLINE=/proc/cmdline
CONFIRM_CONSOLE=/dev/console
CONFIRM_LOG=/var/log/twinboot.log
CONFIRM_SYSRQ=/proc/sysrq-trigger
CONFIRM_OLD=/run/twinboot/old # where the old root is, while GRUB's own files lie in that
CONFIRM_OLDFS=                # the UUID of its file system then
CONFIRM_INSIDE=no             # whether /boot is a folder of the root
CONFIRM_PAUSE=15              # seconds between two looks
# Seconds, where the run's conf has none: limits.py.
CONFIRM_DEADLINE=600
CONFIRM_MKCONFIG=900

# Says $1 on the console and in the log of this system.
confirm_say() {
    echo "twinboot: $1" 2>/dev/null >"$CONFIRM_CONSOLE" || true
    echo "$(date -u '+%Y-%m-%d %H:%M:%S' 2>/dev/null) $1" 2>/dev/null >>"$CONFIRM_LOG" || true
}

# Seconds since this system itself began. What its initrd did before does not count: a machine may have waited
# there for hours until somebody typed its passphrase.
confirm_age() {
    if [ ! -s "$CONFIRM_RUN/begun" ]; then
        mkdir -p "$CONFIRM_RUN"
        facts_uptime >"$CONFIRM_RUN/begun.$$"
        mv -f "$CONFIRM_RUN/begun.$$" "$CONFIRM_RUN/begun"
    fi
    read -r confirm_first <"$CONFIRM_RUN/begun" || confirm_first=0
    echo $(($(facts_uptime) - confirm_first))
}

# Whether the kernel was started as the trial of $1, or with the word $1.
confirm_booted() {
    read -r confirm_line <"$CONFIRM_CMDLINE" || true
    case " $confirm_line " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}

# The value of key $2 in the file $1 of "key value" lines, else $3.
confirm_value() {
    confirm_found=$3
    [ ! -r "$1" ] || while read -r confirm_key confirm_rest; do
        [ "$confirm_key" != "$2" ] || confirm_found=$confirm_rest
    done <"$1"
    echo "$confirm_found"
}

# Seconds that grub-mkconfig may take in the trial of $1: os-prober looks at every disk.
confirm_mkconfig() {
    confirm_value "$CONFIRM_HOME/$1/conf" mkconfig "$CONFIRM_MKCONFIG"
}

# Brings the old root up, where sector and files lie in its /boot. Programs of it are none of ours.
confirm_here() {
    [ -n "$CONFIRM_OLDFS" ] || return 0
    mountpoint -q "$CONFIRM_OLD" && return 0
    mkdir -p "$CONFIRM_OLD"
    mount -o nodev,nosuid,noexec "UUID=$CONFIRM_OLDFS" "$CONFIRM_OLD"
}

# Takes it down again: it is the way back. Whoever needs it brings it up once more.
confirm_leave() {
    [ -z "$CONFIRM_OLDFS" ] || umount "$CONFIRM_OLD" 2>/dev/null || true
}

# The value of variable $1 in the env block.
confirm_env() {
    confirm_here || return 0
    confirm_found=
    while IFS='=' read -r confirm_key confirm_rest; do
        [ "$confirm_key" != "$1" ] || confirm_found=$confirm_rest
    done <"$CONFIRM_ENV"
    echo "$confirm_found"
}

# Whether systemd-boot started the trial of $1; the loader's files are where the installed system mounts them.
# With /boot inside the root they are in the old one's; in a proof the copy has taken its place.
confirm_loader() {
    CONFIRM_BOOT=$(confirm_value "$CONFIRM_HOME/$1/conf" boot "$CONFIRM_BOOT")
    CONFIRM_OLDFS=$(confirm_value "$CONFIRM_HOME/$1/conf" oldfs '')
    if [ -n "$CONFIRM_OLDFS" ]; then
        CONFIRM_INSIDE=yes
        if confirm_booted twinboot.proof; then
            CONFIRM_OLDFS=
        else
            CONFIRM_BOOT=$CONFIRM_OLD$(confirm_value "$CONFIRM_HOME/$1/conf" prefix '')
        fi
    fi
    CONFIRM_SECTOR=$(confirm_value "$CONFIRM_HOME/$1/conf" sector "$CONFIRM_BOOT")
    CONFIRM_ENV=$(confirm_value "$CONFIRM_HOME/$1/conf" env "$CONFIRM_BOOT/twinboot/env")
    [ "$(confirm_value "$CONFIRM_HOME/$1/conf" loader GRUB)" = systemd-boot ]
}

# Freeze and thaw of what holds the folder $1: GRUB replays no journal. A watchdog thaws where we are killed in
# between. A FAT has no journal: all that is dirty goes to its place.
confirm_settle() {
    confirm_at=$1
    if [ "$(stat -f -c %T "$confirm_at" 2>/dev/null)" = msdos ]; then
        sync -f "$confirm_at"
        return
    fi
    # shellcheck disable=SC2016 # the inner shell expands it
    setsid sh -c 'sleep 30; fsfreeze --unfreeze "$1"' watchdog "$confirm_at" </dev/null >/dev/null 2>&1 9>&- &
    confirm_dog=$!
    confirm_status=0
    fsfreeze --freeze "$confirm_at" || confirm_status=1
    fsfreeze --unfreeze "$confirm_at" || confirm_status=1
    kill "$confirm_dog" 2>/dev/null || true
    return "$confirm_status"
}

# Makes $CONFIRM_BOOT a writable mount, and where the sector lies.
confirm_boot_ready() {
    confirm_here || return 1
    [ "$CONFIRM_INSIDE" = yes ] || mountpoint -q "$CONFIRM_BOOT" || mount "$CONFIRM_BOOT" || return 1
    if [ "$CONFIRM_SECTOR" != "$CONFIRM_BOOT" ]; then
        mountpoint -q "$CONFIRM_SECTOR" || mount "$CONFIRM_SECTOR" || return 1
        [ -w "$CONFIRM_ENV" ] || mount -o remount,rw "$CONFIRM_SECTOR" || return 1
        [ -w "$CONFIRM_ENV" ] || return 1
    fi
    [ -d "$CONFIRM_BOOT/twinboot/$1" ] || return 1
    touch "$CONFIRM_BOOT/twinboot/$1/result.new" 2>/dev/null && return 0
    [ "$CONFIRM_INSIDE" = no ] || return 1
    mount -o remount,rw "$CONFIRM_BOOT" && touch "$CONFIRM_BOOT/twinboot/$1/result.new"
}

# The result file of run $1: "verdict $2", "kept $3", then the sentences of the file $4, for the appliance.
confirm_result() {
    confirm_file=$CONFIRM_BOOT/twinboot/$1/result
    confirm_here || return 0
    {
        echo "verdict $2"
        echo "kept $3"
        echo "at $(date +%s)"
        echo "uptime $(facts_uptime)"
        [ ! -s "$4" ] || cat "$4"
    } >"$confirm_file.new" 2>/dev/null || return 0
    sync "$confirm_file.new" 2>/dev/null
    mv -f "$confirm_file.new" "$confirm_file" && confirm_settle "$CONFIRM_BOOT"
    cp "$confirm_file" "$CONFIRM_HOME/$1/result" 2>/dev/null || true
}

# Whether the file of facts $1 has a line that begins with the words $2...
confirm_fact() {
    confirm_facts=$1
    shift
    confirm_start=$1
    shift
    for confirm_word; do confirm_start="$confirm_start$TAB$confirm_word"; done
    while IFS= read -r confirm_line; do
        case $confirm_line in
        "$confirm_start" | "$confirm_start$TAB"*) return 0 ;;
        esac
    done <"$confirm_facts"
    return 1
}

# Whether the gateway $1 answers, where there is a ping to ask with.
confirm_reaches() {
    command -v ping >/dev/null 2>&1 || return 0
    ping -n -c 2 -W 3 "$1" >/dev/null 2>&1
}

# Holds the facts $1 against the demands $2; a sentence for each that is not met.
confirm_judge() {
    if [ ! -s "$2" ]; then
        echo "why it is not known what this system should show"
        return 0
    fi
    confirm_fact "$1" end || echo "why this boot could not be looked at to the end"
    confirm_may=' '
    while read -r confirm_what confirm_name; do
        [ "$confirm_what" != mayfail ] || confirm_may="$confirm_may$confirm_name "
    done <"$2"
    while read -r confirm_what confirm_name; do
        case $confirm_what in
        target)
            confirm_fact "$1" target "$confirm_name" && confirm_fact "$1" reached yes ||
                echo "why the target $confirm_name was not reached"
            ;;
        service) confirm_fact "$1" service "$confirm_name" || echo "why $confirm_name does not run" ;;
        socket) confirm_fact "$1" socket "$confirm_name" || echo "why nothing listens on $confirm_name" ;;
        required)
            confirm_fact "$1" site required "$confirm_name" 0 || echo "why the check $confirm_name failed"
            ;;
        gateway)
            confirm_booted twinboot.proof || {
                confirm_fact "$1" gateway "$confirm_name" && confirm_reaches "$confirm_name"
            } || echo "why the gateway $confirm_name is not reached"
            ;;
        trial)
            if confirm_fact "$1" failed "$confirm_name"; then
                echo "told $confirm_name failed; the twin could not test it"
            elif confirm_fact "$1" service "$confirm_name"; then
                echo "told $confirm_name runs; the twin could not test it"
            fi
            ;;
        esac
    done <"$2"
    while IFS="$TAB" read -r confirm_what confirm_name confirm_rest; do
        [ "$confirm_what" = failed ] || continue
        case $confirm_may in
        *" $confirm_name "*) ;;
        *) echo "why $confirm_name failed ($confirm_rest)" ;;
        esac
    done <"$1"
}

# Judges run $1 up to $2 times, 15 seconds apart, since networks and slow services take their time, and not
# beyond $3 seconds after the system's start; the sentences of the last time are left in
# $CONFIRM_RUN/sentences. True when nothing is wrong.
confirm_tries() {
    confirm_left=$2
    while :; do
        confirm_wait=$(($3 - $(confirm_age)))
        [ "$confirm_wait" -gt 10 ] || confirm_wait=10
        facts_collect "$confirm_wait" 5 "" >"$CONFIRM_RUN/facts" 2>/dev/null
        confirm_judge "$CONFIRM_RUN/facts" "$CONFIRM_HOME/$1/expected" >"$CONFIRM_RUN/sentences"
        grep -q '^why ' "$CONFIRM_RUN/sentences" || return 0
        confirm_left=$((confirm_left - 1))
        [ "$confirm_left" -gt 0 ] && [ "$(confirm_age)" -lt "$3" ] || return 1
        sleep "$CONFIRM_PAUSE"
    done
}

# Ends the trial of $1 for the reasons in $CONFIRM_RUN/sentences: the next boot is the old system.
confirm_give_back() {
    while IFS= read -r confirm_line; do
        confirm_say "trial $1: ${confirm_line#* }"
    done <"$CONFIRM_RUN/sentences"
    confirm_say "trial $1: NOT kept, restarting into the previous system"
    confirm_result "$1" bad no "$CONFIRM_RUN/sentences"
    cp "$CONFIRM_RUN/facts" "$CONFIRM_HOME/$1/facts" 2>/dev/null
    sync
    systemctl reboot || true
    sleep 90
    confirm_reset
}

# The end that nothing can stop.
confirm_reset() {
    sync &
    sleep 5
    systemctl reboot --force --force 2>/dev/null &
    sleep 10
    echo b >"$CONFIRM_SYSRQ" # root may always; /proc/sys/kernel/sysrq binds the keyboard only
}

# confirm RUN: the unit's verb. Judges, then keeps, waits for a person, or gives the machine back.
verb_confirm() {
    confirm_booted "twinboot.trial=$1" || return 0
    confirm_end=0
    confirm_alone "$1" || confirm_end=1
    confirm_leave
    return "$confirm_end"
}

confirm_alone() {
    confirm_id=$1
    mkdir -p "$CONFIRM_RUN"
    : >"$CONFIRM_RUN/sentences"
    confirm_conf=$CONFIRM_HOME/$confirm_id/conf
    ! confirm_loader "$confirm_id" || sdboot_begun "$confirm_id"
    confirm_say "trial $confirm_id: looking at this boot"
    # The rest of the deadline is for writing the result down and for an orderly restart.
    confirm_limit=$(($(confirm_value "$confirm_conf" deadline "$CONFIRM_DEADLINE") - 150))
    if ! confirm_boot_ready "$confirm_id"; then
        echo "why $CONFIRM_BOOT is not there or cannot be written" >"$CONFIRM_RUN/sentences"
        confirm_give_back "$confirm_id"
        return 1
    fi
    if ! confirm_tries "$confirm_id" "$(confirm_value "$confirm_conf" tries 4)" "$confirm_limit"; then
        if [ "$(confirm_env tb_run)" = "$confirm_id" ] && [ "$(confirm_env tb_state)" = kept ]; then
            confirm_say "trial $confirm_id: this boot is not well, but a person has kept it meanwhile"
            return 0
        fi
        confirm_give_back "$confirm_id"
        return 1
    fi
    if confirm_loader "$confirm_id" && ! confirm_booted twinboot.proof; then
        sdboot_complete >>"$CONFIRM_RUN/sentences"
        if grep -q '^why ' "$CONFIRM_RUN/sentences"; then
            confirm_give_back "$confirm_id"
            return 1
        fi
    fi
    confirm_say "trial $confirm_id: confirmed, this boot is well"
    if [ "$(confirm_value "$confirm_conf" mode auto)" = manual ] && [ "$(confirm_env tb_keep)" != 1 ]; then
        : >"$CONFIRM_RUN/decided"
        confirm_result "$confirm_id" good waits "$CONFIRM_RUN/sentences"
        confirm_say "trial $confirm_id: waiting to be kept: run twinboot-keep, or keep it from the appliance"
        return 0
    fi
    if ! keep_in_turn "$confirm_id"; then
        confirm_give_back "$confirm_id"
        return 1
    fi
}

# deadline RUN: whatever hangs, after its time the trial is given back. Emergency mode does not stop it.
verb_deadline() {
    confirm_booted "twinboot.trial=$1" || return 0
    confirm_begun=0
    while :; do
        # A /var on a volume of its own is mounted later: until then, and if it never is, the usual time runs.
        if [ "$confirm_begun" = 0 ] && [ -r "$CONFIRM_HOME/$1/conf" ]; then
            confirm_begun=1
            ! confirm_loader "$1" || sdboot_begun "$1"
        fi
        confirm_end=$(confirm_value "$CONFIRM_HOME/$1/conf" deadline "$CONFIRM_DEADLINE")
        confirm_keeping=$(($(confirm_mkconfig "$1") + 200))
        confirm_more=0
        # A keep that has begun is given its time: it is not what hangs.
        [ ! -e "$CONFIRM_RUN/keeping" ] || confirm_more=$confirm_keeping
        [ "$(confirm_age)" -lt $((confirm_end + confirm_more)) ] || break
        [ ! -e "$CONFIRM_RUN/decided" ] || return 0
        sleep 5
    done
    [ ! -e "$CONFIRM_RUN/decided" ] || return 0
    confirm_say "trial $1: not confirmed within $confirm_end s, restarting into the previous system"
    mkdir -p "$CONFIRM_RUN"
    echo "why it was not confirmed within $confirm_end s" >"$CONFIRM_RUN/late"
    # In the background: a /boot that hangs must not hold the reset.
    (confirm_boot_ready "$1" && confirm_result "$1" deadline no "$CONFIRM_RUN/late") >/dev/null 2>&1 &
    sleep 10
    confirm_reset
}
