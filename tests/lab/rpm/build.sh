# build.sh WORK: every package of the tests into WORK/rpms, signed but for two, and the key as WORK/lab.asc.
set -eu
work=$1
export HOME="$work/home" GNUPGHOME="$work/gnupg" LC_ALL=C.UTF-8
mkdir -p "$HOME" "$GNUPGHOME" "$work/rpms" "$work/specs"
chmod 700 "$GNUPGHOME"
# Debian's rpmbuild asks file(1) of each file and Fedora's gpg by its other name.
cat >"$HOME/.rpmmacros" <<END
%_topdir $work/build
%_rpmdir $work/rpms
%_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm
%_dbpath $work/db
%_gpg_name lab
%__gpg /usr/bin/gpg
%__file /bin/true
%_buildhost localhost
%debug_package %{nil}
%_binary_payload w1.gzdio
END
gpg --batch --quiet --passphrase '' --quick-gen-key 'lab <lab@localhost>' rsa2048 sign never
gpg --batch --armor --export lab >"$work/lab.asc"

# make NAME VERSION RELEASE HEADER INSTALL-AND-FILES
make() {
    spec=$work/specs/$1-$2-$3.spec
    cat >"$spec" <<END
Name: $1
Version: $2
Release: $3
Summary: a package of the tests
License: GPL-3.0-or-later
BuildArch: noarch
AutoReqProv: no
$4
%description
A package of the tests.
%install
mkdir -p %{buildroot}/usr/share/%{name} %{buildroot}/etc
echo %{version}-%{release} >%{buildroot}/usr/share/%{name}/version
$5
END
    rpmbuild --quiet -bb "$spec" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
}

plain='%files
/usr/share/%{name}'
configured='for f in configured replaced; do echo "setting = %{version}" >%{buildroot}/etc/$f.conf; done
%files
/usr/share/%{name}
%config(noreplace) /etc/configured.conf
%config /etc/replaced.conf'
kernel='mkdir -p %{buildroot}/usr/lib/modules/%{version}-%{release}
echo kernel >%{buildroot}/usr/lib/modules/%{version}-%{release}/vmlinuz
rm -r %{buildroot}/usr/share
%files
/usr/lib/modules/%{version}-%{release}'

make lab-release 9 1 'Provides: system-release = 9
Provides: system-release(releasever) = 9
Provides: /bin/sh' "$plain"
for version in 1.0 1.1 1.2; do make ledger $version 1 '' "$plain"; done
make ledger 1.4 1 '' "$plain
%post
echo the book is not in order >&2
exit 1"
make ledger 1.5 1 '' "$plain
%pre
exit 1"
make ledger 1.6 1 'Requires: no-such-thing' "$plain"
for version in 1.0 1.1; do
    make grub2-lab $version 1 '' "$plain"
    make unsigned $version 1 '' "$plain"
    make name-that-is-longer-than-any-column-of-the-table-could-ever-be-wide $version 1 'Epoch: 2' "$plain"
    make configured $version 1 '' "$configured"
done
for release in 1 2; do
    make kernel-core 6.1.0 $release 'Provides: installonlypkg(kernel)
Provides: multiversion(kernel)' "$kernel"
done
for file in "$work"/rpms/*.rpm; do
    case $file in
    */unsigned-*) ;;
    *) rpmsign --addsign "$file" >/dev/null 2>&1 ;;
    esac
done
