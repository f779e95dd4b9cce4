# Keep under systemd-boot. LoaderEntryDefault pins the previous system by names of ours while this system's own
# kernel-install writes its entry, in place, on a FAT; the flip is to take that variable away.
KEEP_EFI=/sys/firmware/efi/efivars
KEEP_GUID=4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
KEEP_KERNELS=/boot

# The value of the loader's variable $1: UTF-16 of plain letters behind four bytes of attributes. Linux 6.1's
# efivarfs can not be sought in, which tail wants of a file it is given by name.
sdboot_variable() {
    [ -e "$KEEP_EFI/$1-$KEEP_GUID" ] || return 0
    # shellcheck disable=SC2002 # tail is not to have the file itself
    cat "$KEEP_EFI/$1-$KEEP_GUID" | tail -c +5 | tr -d '\000'
}

# Takes the variable $1 away; true where it is gone.
sdboot_clear() {
    keep_variable=$KEEP_EFI/$1-$KEEP_GUID
    [ -e "$keep_variable" ] || return 0
    chattr -i "$keep_variable" 2>/dev/null || true
    rm -f "$keep_variable"
    [ ! -e "$keep_variable" ]
}

# The loader clears the one-shot before it starts a trial. Where the firmware would not let it, we do, or the
# next reset started the trial of $1 again.
sdboot_begun() {
    [ "$(sdboot_variable LoaderEntryOneShot)" = "twinboot-new-$1.conf" ] || return 0
    confirm_say "trial $1: the firmware did not clear LoaderEntryOneShot; it is cleared now"
    sdboot_clear LoaderEntryOneShot || confirm_say "trial $1: LoaderEntryOneShot can not be cleared"
}

# The machine's own demands on a good boot: what is RequiredBy=boot-complete.target. A sentence where it fails.
sdboot_complete() {
    systemctl cat boot-complete.target >/dev/null 2>&1 || return 0
    timeout 180 systemctl start boot-complete.target >/dev/null 2>&1 ||
        echo "why boot-complete.target was not reached"
}

# (a) This system's own kernel-install, for the kernel that runs: its entry, or its unified image, is not counted,
# it has been judged.
sdboot_entry() {
    keep_version=$(uname -r)
    keep_why="kernel-install is missing"
    command -v kernel-install >/dev/null 2>&1 || return 1
    rm -rf "$CONFIRM_RUN/kernel"
    mkdir -p "$CONFIRM_RUN/kernel"
    for keep_file in /usr/lib/kernel /etc/kernel; do
        for keep_name in install.conf entry-token cmdline devicetree uki.conf; do
            [ ! -f "$keep_file/$keep_name" ] || cp "$keep_file/$keep_name" "$CONFIRM_RUN/kernel/" || return 1
        done
    done
    keep_made=0
    KERNEL_INSTALL_CONF_ROOT=$CONFIRM_RUN/kernel BOOT_ROOT=$CONFIRM_BOOT timeout "$keep_limit" \
        kernel-install add "$keep_version" "$KEEP_KERNELS/vmlinuz-$keep_version" \
        "$KEEP_KERNELS/initrd.img-$keep_version" >"$CONFIRM_RUN/kernel-install" 2>&1 </dev/null || keep_made=$?
    keep_why="kernel-install failed: $(tail -n 1 "$CONFIRM_RUN/kernel-install")"
    [ "$keep_made" != 124 ] || keep_why="kernel-install did not end within $keep_limit s"
    [ "$keep_made" = 0 ] || return 1
    keep_why="the ESP could not be written to its end"
    confirm_settle "$CONFIRM_BOOT"
}

# The value of key $2 in the entry $1.
sdboot_key() {
    awk -v key="$2" '$1 == key { sub(/^[ \t]*[^ \t]+[ \t]+/, ""); print; exit }' "$1"
}

# The number of $3 bytes at the offset $2 of the file $1.
sdboot_number() {
    od -An -v -t "u$3" -j "$2" -N "$3" "$1" | tr -d ' '
}

# The section $2 of the unified image $1, a PE file; $3 bytes of it where that is given.
sdboot_section() {
    keep_at=$(($(sdboot_number "$1" 60 4) + 6))
    keep_left=$(sdboot_number "$1" "$keep_at" 2)
    keep_at=$((keep_at + 18 + $(sdboot_number "$1" $((keep_at + 14)) 2)))
    while [ "$keep_left" -gt 0 ]; do
        if [ "$(tail -c +$((keep_at + 1)) "$1" | head -c 8 | tr -d '\000')" = "$2" ]; then
            keep_size=$(sdboot_number "$1" $((keep_at + 8)) 4)
            keep_at=$(sdboot_number "$1" $((keep_at + 20)) 4)
            tail -c +$((keep_at + 1)) "$1" | head -c "${3:-$keep_size}"
            return 0
        fi
        keep_at=$((keep_at + 40)) keep_left=$((keep_left - 1))
    done
    return 1
}

# The command line of the entry or unified image $1.
sdboot_options() {
    case $1 in
    *.efi) sdboot_section "$1" .cmdline | tr -d '\000' ;;
    *) sdboot_key "$1" options ;;
    esac
}

# Whether what the entry or unified image $1 starts is the file $4 byte for byte: its key $2, its section $3.
sdboot_starts() {
    case $1 in
    *.efi) sdboot_section "$1" "$3" "$(stat -c %s "$4")" | cmp -s - "$4" ;;
    *) cmp -s "$CONFIRM_BOOT$(sdboot_key "$1" "$2")" "$4" ;;
    esac
}

# Whether the entry or unified image $1 boots this system: its root, its kernel and its initrd.
sdboot_boots() {
    case " $(sdboot_options "$1") " in *" root=$keep_root "*) ;; *) return 1 ;; esac
    case " $(sdboot_options "$1") " in *" twinboot."*) return 1 ;; esac
    sdboot_starts "$1" linux .linux "$KEEP_KERNELS/vmlinuz-$keep_version" &&
        sdboot_starts "$1" initrd .initrd "$KEEP_KERNELS/initrd.img-$keep_version"
}

# How the name of what kernel-install makes here ends: as that of what the trial was started by.
sdboot_kind() {
    for keep_file in "$keep_folder"/files/*.efi; do
        [ ! -e "$keep_file" ] || { echo efi; return; }
    done
    echo conf
}

# (b) Whether what kernel-install made is whole, and no entry is there that was not looked at when this run was
# staged: then the loader's rules, which were followed there with this entry, start it.
sdboot_own() {
    keep_why="kernel-install made no entry for $keep_version that boots $keep_root"
    keep_found=
    keep_kind=$(sdboot_kind)
    for keep_file in "$CONFIRM_BOOT"/loader/entries/*.conf "$CONFIRM_BOOT"/EFI/Linux/*.efi; do
        [ -e "$keep_file" ] || continue
        keep_name=${keep_file##*/}
        case $keep_name in
        twinboot-*) continue ;;
        *-"$keep_version.$keep_kind") ! sdboot_boots "$keep_file" || keep_found=$keep_file ;;
        esac
        grep -qxF "$keep_name" "$keep_folder/names" && continue
        case " $(sdboot_options "$keep_file") " in
        *" root=$keep_root "*) ;;
        *)
            keep_why="${keep_file#"$CONFIRM_BOOT"/} is new and boots another system"
            return 1
            ;;
        esac
    done
    [ -n "$keep_found" ]
}

# keep RUN, where systemd-boot started the trial; the lock is held. $2 is the run's folder on the ESP, $3 its
# root, $4 how many seconds kernel-install may take.
sdboot_keep() {
    keep_folder=$2 keep_root=$3 keep_limit=$4
    keep_default=$(sdboot_variable LoaderEntryDefault)
    if [ "$keep_default" != "twinboot-previous-$1.conf" ]; then
        [ "$(confirm_env tb_run)" = "$1" ] && [ "$(confirm_env tb_state)" = kept ] && return 0
        keep_version=$(uname -r)
        # A keep that was cut behind its flip is finished; anything else was not ours to take away.
        if [ -n "$keep_default" ] || ! sdboot_own; then
            keep_fail "LoaderEntryDefault names ${keep_default:-nothing}, not the previous system of $1"
            return 1
        fi
    elif [ "$(confirm_env tb_run)" = "$1" ] && [ "$(confirm_env tb_state)" = rolledback ]; then
        keep_fail "it was rolled back"
        return 1
    else
        : >"$CONFIRM_RUN/keeping"
        sdboot_entry || { keep_fail "$keep_why"; return 1; }
        sdboot_own || { keep_fail "$keep_why"; return 1; }
        sdboot_clear LoaderEntryDefault || { keep_fail "LoaderEntryDefault can not be taken away"; return 1; }
    fi
    : >"$CONFIRM_RUN/decided"
    confirm_say "trial $1: kept"
    # The book follows the variable.
    { keep_sector && confirm_settle "$CONFIRM_BOOT"; } || confirm_say "keep: twinboot/env could not be written"
    rm -f "$CONFIRM_BOOT/loader/entries/twinboot-new-$1.conf"
    confirm_result "$1" good yes "$CONFIRM_RUN/sentences"
}
