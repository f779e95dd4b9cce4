# Keep: the trial becomes what this machine boots. Three parts; up to the last one the env block pins the
# previous system, so that a power cut anywhere boots the old or the new one.
KEEP_ROOT=/
KEEP_BOOT=/boot # where it is a folder of the root: this system's own

keep_fail() {
    echo "why it could not be kept: $1" >>"$CONFIRM_RUN/sentences"
    confirm_say "keep: $1"
    return 1
}

# (a) /boot gets every file that this system's dpkg owns there. The old inodes stay alive in before/ and old/.
keep_files() {
    for keep_file in "$keep_folder"/files/*; do
        keep_name=${keep_file##*/}
        if [ -e "$CONFIRM_BOOT/$keep_name" ]; then
            cmp -s "$keep_file" "$CONFIRM_BOOT/$keep_name" && continue
            ln -f "$keep_file" "$CONFIRM_BOOT/$keep_name.twinboot" || return 1
            mv -fT "$CONFIRM_BOOT/$keep_name.twinboot" "$CONFIRM_BOOT/$keep_name" || return 1
        else
            ln "$keep_file" "$CONFIRM_BOOT/$keep_name" || return 1
        fi
    done
    confirm_settle "$CONFIRM_BOOT"
}

# The same where /boot is a folder of the root: it has them since the seal, and they must be those tested.
keep_same() {
    for keep_file in "$keep_folder"/files/*; do
        cmp -s "$keep_file" "$KEEP_BOOT/${keep_file##*/}" || return 1
    done
}

# Where a start names no subvolume (conf: default, the id of the old one's), the file system says which one it
# takes: from now on this system's. One transaction of btrfs; the previous system is started by its name.
keep_default() {
    [ "$keep_old" != 0 ] || return 0
    keep_why="btrfs is missing, install btrfs-progs"
    command -v btrfs >/dev/null 2>&1 || return 1
    keep_why="its subvolume could not be made the default one"
    keep_id=$(timeout 120 btrfs inspect-internal rootid "$KEEP_ROOT") || return 1
    keep_make_default "$keep_id" && keep_is_default && return 0
    keep_default_back
    return 1
}

# Makes the subvolume with the id $1 the default one, on the disk.
keep_make_default() {
    timeout 120 btrfs subvolume set-default "$1" "$KEEP_ROOT" >/dev/null &&
        timeout 300 btrfs filesystem sync "$KEEP_ROOT"
}

# Whether the default subvolume is the one that runs, which is called as the trial's root is.
keep_is_default() {
    keep_said=$(timeout 120 btrfs subvolume get-default "$KEEP_ROOT") || return 1
    keep_id=$(timeout 120 btrfs inspect-internal rootid "$KEEP_ROOT") || return 1
    keep_path=${keep_root#*\[/}
    case $keep_said in "ID $keep_id "*" path ${keep_path%\]}") ;; *) return 1 ;; esac
}

keep_default_back() {
    [ "$keep_old" = 0 ] || keep_make_default "$keep_old" ||
        confirm_say "keep: the default subvolume is not $keep_old again; the previous system is named"
}

# Whether grub.cfg $1 boots the root $2 by default: the entries that this system's kernels got all name it,
# the first one with a kernel and initrd that are there, and our custom.cfg is still read. A root may be one
# subvolume, "UUID=...[/path]": then the last rootflags= must name that path, or none where it is the default.
keep_boots() {
    grep -q 'source .*custom\.cfg' "$1" || return 1
    keep_part=
    keep_unnamed=0
    case $2 in *\[/*\]) keep_part=${2#*\[/} keep_part=${keep_part%\]} ;; esac
    if [ "$keep_old" != 0 ] && keep_is_default; then keep_unnamed=1; fi
    keep_first=$(awk -v root="root=${2%%\[*}" -v part="$keep_part" -v unnamed="$keep_unnamed" '
        /^### BEGIN .*\/10_linux ###/ { on = 1 }
        /^### END .*\/10_linux ###/ { on = 0 }
        on && $1 ~ /^linux(16|efi)?$/ {
            seen++; ok = 0; flags = ""
            for (i = 3; i <= NF; i++) {
                if ($i == root) ok = 1
                if ($i ~ /^rootflags=/) flags = "," substr($i, 11) ","
            }
            gsub(/,subvol=\//, ",subvol=", flags)
            named = (flags ~ /,subvol(id)?=/)
            if (!ok) exit 1
            if (part != "" && !index(flags, ",subvol=" part ",") && (named || !unnamed)) exit 1
            if (seen == 1) first = $2
        }
        on && $1 ~ /^initrd(16|efi)?$/ && seen == 1 { for (i = 2; i <= NF; i++) first = first " " $i }
        END { if (!seen) exit 1; print first }' "$1") || return 1
    keep_kernel=${keep_first%% *}
    [ -e "$keep_folder/files/${keep_kernel##*/}" ] || return 1
    keep_missing=0
    set -f
    for keep_path in $keep_first; do
        [ -s "$keep_own/${keep_path##*/}" ] || keep_missing=1
    done
    set +f
    [ "$keep_missing" = 0 ]
}

# Whether grub.cfg $1 takes the kernel that runs, which is the one that was tested, by default: the entry that
# `set default=` names by id or title, with its submenus, else GRUB's first. What only GRUB can tell (a saved
# entry, other numbers than 0) is its administrator's choice and passes.
keep_tested() {
    keep_takes=$(awk '
        /^ *set default=/ && !/next_entry/ && !named {
            named = 1; want = $0; sub(/^ *set default="?/, "", want); sub(/"? *$/, "", want)
        }
        $1 == "menuentry" || $1 == "submenu" {
            title = $0; sub(/^[^\047]*\047/, "", title); sub(/\047.*/, "", title)
            id = title
            if (match($0, /menuentry_id_option \047[^\047]*/)) id = substr($0, RSTART + 21, RLENGTH - 21)
            if ($1 == "submenu") { menu[id] = menu[title] = 1; next }
        }
        $1 ~ /^linux(16|efi)?$/ && title != "" {
            if (first == "") first = $2
            if (!(id in taken)) taken[id] = taken[title] = $2
        }
        END {
            parts = split(want, part, ">"); found = taken[part[parts]]
            for (i = 1; i < parts; i++) if (!(part[i] in menu)) found = ""
            if (found == "" && want != "0" && want ~ /^([0-9>]+|\$.*)$/) exit
            print found == "" ? first : found
        }' "$1")
    [ -z "$keep_takes" ] || [ "${keep_takes##*/}" = "vmlinuz-$(uname -r)" ]
}

# (b) This system's own grub-mkconfig, into a name of ours; once it is whole on the disk as GRUB reads it, it
# takes grub.cfg's name. The old inode keeps a name, or a cut could leave grub.cfg on a freed one. Inside the
# root custom.cfg comes beside it, which leads to the sector and to the previous system.
keep_config() {
    keep_why="grub-mkconfig is missing"
    keep_tool=$(command -v grub-mkconfig || command -v grub2-mkconfig) || return 1
    keep_config=$keep_own/$(confirm_value "$keep_conf" folder grub)/grub.cfg
    keep_new=$keep_at/grub.cfg.new
    rm -f "$keep_new" "$keep_new.new"
    keep_made=0
    timeout "$keep_limit" "$keep_tool" -o "$keep_new" >"$CONFIRM_RUN/mkconfig" 2>&1 </dev/null ||
        keep_made=$?
    keep_why="grub-mkconfig failed: $(tail -n 1 "$CONFIRM_RUN/mkconfig")"
    [ "$keep_made" != 124 ] || keep_why="grub-mkconfig did not end within $keep_limit s"
    [ "$keep_made" = 0 ] || return 1
    keep_why="the grub.cfg it makes does not boot $keep_root by default"
    keep_boots "$keep_new" "$keep_root" || return 1
    keep_why="the grub.cfg it makes takes another kernel by default than $(uname -r), which was tested"
    keep_tested "$keep_new" || return 1
    keep_why="its grub.cfg could not be put in place as GRUB reads it"
    sync "$keep_new" || return 1
    ln -f "$keep_config" "$keep_before/grub.cfg.kept" || return 1
    [ "$CONFIRM_INSIDE" = no ] || keep_custom "${keep_config%/*}/custom.cfg" || return 1
    confirm_settle "$keep_own" || return 1
    keep_raw "$keep_new" || return 1
    ln -f "$keep_new" "$keep_at/grub.cfg.made" || return 1
    mv -fT "$keep_new" "$keep_config" || return 1
    confirm_settle "$keep_own" || return 1
    keep_raw "$keep_config"
}

# Lays custom.cfg down at $1, where nobody else has one.
keep_custom() {
    if [ -e "$1" ]; then
        read -r keep_line <"$1" || return 1
        [ "$keep_line" = "# twinboot" ] || return 1
    fi
    cp "$keep_folder/custom.kept" "$1.twinboot" && sync "$1.twinboot" && mv -fT "$1.twinboot" "$1"
}

# Whether GRUB reads the file $1 of /boot as this system does; true where there is no grub-fstest to ask.
keep_raw() {
    command -v grub-fstest >/dev/null 2>&1 || return 0
    keep_mount=$(stat -c %m "$1")
    keep_device=$(awk -v at="$keep_mount" '$2 == at { d = $1 } END { print d }' /proc/self/mounts)
    [ -b "$keep_device" ] || return 0
    blockdev --flushbufs "$keep_device" 2>/dev/null
    keep_path=${1#"${keep_mount%/}"}
    rm -f "$CONFIRM_RUN/raw"
    timeout 120 grub-fstest "$keep_device" cp "$keep_path" "$CONFIRM_RUN/raw" 2>/dev/null || return 1
    cmp -s "$CONFIRM_RUN/raw" "$1"
}

# The sector that says kept, prepared when this run was staged.
keep_sector() {
    dd if="$keep_folder/env.kept" of="$CONFIRM_ENV" bs=512 count=1 conv=notrunc,fsync 2>/dev/null
}

# (c) The flip: that one sector.
keep_flip() {
    keep_sector || return 1
    confirm_settle "$CONFIRM_SECTOR"
    keep_raw "$CONFIRM_ENV" && [ "$(confirm_env tb_state)" = kept ]
}

# Kernels of the old system that this one has removed in the twin: out of /boot, so that update-grub does not
# offer them without modules. The previous system boots from names of ours.
keep_tidy() {
    [ "$CONFIRM_INSIDE" = no ] || return 0 # its own /boot is what its packages made of it
    keep_gone=
    for keep_file in "$keep_folder"/before/vmlinuz-*; do
        keep_version=${keep_file##*/vmlinuz-}
        [ -e "$CONFIRM_BOOT/vmlinuz-$keep_version" ] || continue
        dpkg-query -S "/boot/vmlinuz-$keep_version" >/dev/null 2>&1 && continue
        [ ! -d "/lib/modules/$keep_version/kernel" ] || continue
        keep_gone="$keep_gone $keep_version"
    done
    [ -n "$keep_gone" ] || return 0
    for keep_version in $keep_gone; do
        for keep_name in vmlinuz config System.map initrd.img; do
            [ -e "$keep_folder/before/$keep_name-$keep_version" ] || continue
            rm -f "$CONFIRM_BOOT/$keep_name-$keep_version"
        done
        ! bls_has "$keep_folder" || bls_forget "$keep_version"
    done
    ! bls_has "$keep_folder" || return 0
    keep_config || confirm_say "keep: $keep_why; run update-grub"
}

# keep RUN: for the confirm unit, for twinboot-keep, and safe to repeat, also by both at once: the second
# one waits (fd 9 is the lock's) and finds what the first has done.
verb_keep() {
    keep_end=0
    keep_in_turn "$1" || keep_end=1
    confirm_leave
    return "$keep_end"
}

keep_in_turn() {
    confirm_booted "twinboot.trial=$1" || {
        echo "twinboot: this is not the trial of $1" >&2
        return 1
    }
    mkdir -p "$CONFIRM_RUN"
    exec 9>"$CONFIRM_RUN/keep.lock"
    keep_status=1
    keep_limit=$(confirm_mkconfig "$1")
    if flock -w $((keep_limit + 100)) 9; then
        keep_alone "$1" && keep_status=0
    else
        keep_fail "another keep does not end" || :
    fi
    exec 9>&-
    return "$keep_status"
}

keep_alone() {
    keep_conf=$CONFIRM_HOME/$1/conf
    keep_root=$(confirm_value "$keep_conf" root '')
    keep_old=$(confirm_value "$keep_conf" default 0)
    if confirm_loader "$1"; then
        sdboot_keep "$1" "$CONFIRM_BOOT/twinboot/$1" "$keep_root" "$keep_limit"
        return
    fi
    keep_folder=$CONFIRM_BOOT/twinboot/$1 keep_own=$CONFIRM_BOOT
    keep_at=$keep_folder keep_before=$keep_folder/before
    if [ "$CONFIRM_INSIDE" = yes ]; then
        keep_own=$KEEP_BOOT keep_at=$CONFIRM_HOME/$1 keep_before=$CONFIRM_HOME/$1
    fi
    [ "$(confirm_env tb_run)" = "$1" ] || { keep_fail "$CONFIRM_ENV names another run"; return 1; }
    case $(confirm_env tb_state) in
    kept) return 0 ;;
    trial) ;;
    *) keep_fail "$CONFIRM_ENV does not say trial"; return 1 ;;
    esac
    : >"$CONFIRM_RUN/keeping"
    if [ "$CONFIRM_INSIDE" = yes ]; then
        keep_same || { keep_fail "its /boot does not hold the files that were tested"; return 1; }
    else
        keep_files || { keep_fail "its files could not be put into /boot"; return 1; }
    fi
    keep_default || { keep_fail "$keep_why"; return 1; }
    if bls_has "$keep_folder"; then
        bls_keep "$keep_folder" "$keep_root" "$keep_own/$(confirm_value "$keep_conf" folder grub)" || return 1
    else
        keep_config || { keep_default_back; keep_fail "$keep_why"; return 1; }
    fi
    keep_flip || { keep_fail "the env block does not read back as kept"; return 1; }
    : >"$CONFIRM_RUN/decided"
    confirm_say "trial $1: kept"
    keep_tidy
    confirm_result "$1" good yes "$CONFIRM_RUN/sentences"
}
