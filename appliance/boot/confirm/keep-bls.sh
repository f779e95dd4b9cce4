# Keep where GRUB makes its entries of /boot/loader/entries (BLS): grub.cfg names no root there and stays as it
# is. The entries of this system were laid down beside the files that were tested; here they take their places,
# and the tested one becomes the saved entry where the machine has such.

# Whether the run whose folder is $1 has entries for loader/entries.
bls_has() {
    [ -d "$1/bls" ]
}

# The name without .conf of the run's entry for the kernel that runs, which is the one that was tested.
bls_tested() {
    for keep_file in "$keep_folder"/bls/*.conf; do
        [ "$(sdboot_key "$keep_file" linux)" = "/vmlinuz-$(uname -r)" ] || continue
        case " $(sdboot_key "$keep_file" options) " in *" root=$keep_root "*) ;; *) continue ;; esac
        keep_name=${keep_file##*/}
        echo "${keep_name%.conf}"
        return 0
    done
    return 1
}

# Puts the run's entries in place. GRUB reads no journal: a new inode is whole on the disk before it takes a
# name, and the old one keeps a name.
bls_put() {
    mkdir -p "$keep_folder/was" "$keep_entries" || return 1
    for keep_file in "$keep_folder"/bls/*.conf; do
        keep_name=${keep_file##*/}
        ! cmp -s "$keep_file" "$keep_entries/$keep_name" || continue
        [ ! -e "$keep_entries/$keep_name" ] ||
            ln -f "$keep_entries/$keep_name" "$keep_folder/was/$keep_name" || return 1
        cp "$keep_file" "$keep_entries/$keep_name.twinboot" && sync "$keep_entries/$keep_name.twinboot" || return 1
    done
    confirm_settle "$CONFIRM_BOOT" || return 1
    for keep_file in "$keep_entries"/*.conf.twinboot; do
        [ -e "$keep_file" ] || continue
        mv -fT "$keep_file" "${keep_file%.twinboot}" || return 1
    done
    confirm_settle "$CONFIRM_BOOT" || return 1
    for keep_file in "$keep_folder"/bls/*.conf; do
        cmp -s "$keep_file" "$keep_entries/${keep_file##*/}" || return 1
        keep_raw "$keep_entries/${keep_file##*/}" || return 1
    done
}

# Saves the entry $1 as GRUB's default, where one was saved when this run was staged.
bls_save() {
    [ -s "$keep_folder/saved" ] || return 0
    keep_why="the entry $1 is not the one that was to be saved"
    read -r keep_saved <"$keep_folder/saved" && [ "$keep_saved" = "$1" ] || return 1
    keep_why="grub-editenv is missing"
    keep_tool=$(command -v grub-editenv || command -v grub2-editenv) || return 1
    keep_why="$1 could not be saved as GRUB's default"
    keep_grubenv=${keep_config%/*}/grubenv
    "$keep_tool" "$keep_grubenv" set "saved_entry=$1" && sync "$keep_grubenv" || return 1
    confirm_settle "$CONFIRM_BOOT" && keep_raw "$keep_grubenv" || return 1
    grep -qx "saved_entry=$1" "$keep_grubenv"
}

# Whether GRUB takes the entry $1 by default: it is the saved one, else the newest. A saved name that begins
# with a digit is a number for GRUB 2.14, too large a one, and then the newest is taken.
bls_default() {
    if [ -s "$keep_folder/saved" ]; then
        case $1 in [0-9]*) ;; *) return 0 ;; esac
    fi
    keep_newest=$(cd "$keep_entries" && printf '%s\n' *.conf | sort -rV | head -n 1)
    [ "$keep_newest" = "$1.conf" ]
}

# (b) The entries of the run whose folder is $1, which boot the root $2, then what is saved. $3 is GRUB's folder.
bls_keep() {
    keep_folder=$1 keep_root=$2 keep_config=$3/grub.cfg keep_entries=$CONFIRM_BOOT/loader/entries
    bls_kept || { keep_fail "$keep_why"; return 1; }
}

bls_kept() {
    keep_why="grub.cfg does not read loader/entries and custom.cfg any more"
    grep -qx blscfg "$keep_config" && grep -q 'source .*custom\.cfg' "$keep_config" || return 1
    keep_why="no entry boots $keep_root with the kernel $(uname -r), which was tested"
    keep_id=$(bls_tested) || return 1
    keep_why="its entries could not be put in place as GRUB reads them"
    bls_put || return 1
    bls_save "$keep_id" || return 1
    keep_why="GRUB takes another kernel by default than $(uname -r), which was tested"
    bls_default "$keep_id"
}

# Takes the entries of the kernel $1 out of the menu.
bls_forget() {
    for keep_file in "$CONFIRM_BOOT"/loader/entries/*.conf; do
        [ "$(sdboot_key "$keep_file" linux)" != "/vmlinuz-$1" ] || rm -f "$keep_file"
    done
}
