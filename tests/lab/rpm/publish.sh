# publish.sh WORK TARGET FILE...: a signed repository of these rpms; an advisory names ledger 1.1.
set -eu
work=$1 target=$2
shift 2
export HOME="$work/home" GNUPGHOME="$work/gnupg" LC_ALL=C.UTF-8
rm -rf "$target"
mkdir -p "$target"
for file; do cp "$work/rpms/$file" "$target"; done
createrepo_c --quiet "$target"
cat >"$work/updateinfo.xml" <<END
<?xml version="1.0" encoding="UTF-8"?>
<updates>
 <update from="lab@localhost" status="final" type="security" version="1">
  <id>LAB-2026:1</id><title>ledger</title><severity>Important</severity>
  <issued date="2026-01-01 00:00:00"/><description>a hole in ledger</description>
  <pkglist><collection short="lab"><name>lab</name>
   <package name="ledger" version="1.1" release="1" epoch="0" arch="noarch">
    <filename>ledger-1.1-1.noarch.rpm</filename>
   </package>
  </collection></pkglist>
 </update>
</updates>
END
modifyrepo_c --mdtype=updateinfo "$work/updateinfo.xml" "$target/repodata" >/dev/null
gpg --batch --yes --armor --detach-sign "$target/repodata/repomd.xml"
cp "$work/lab.asc" "$target/repodata/repomd.xml.key"
