#!/usr/bin/env bash
# Unpack onnxruntime's headers into a folder, on a Debian that has no package of them yet:
#
#   bash onnxruntime_headers.sh build/headers
#
# They are in Debian 13's libonnxruntime-dev. Nothing is installed, and the system's own list of
# packages stays as it is.
set -euo pipefail
folder=${1:?give a folder}
# The mirror of this system's own packages. Ubuntu has none of Debian.
mirrors=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages')
mirror=$(grep -m1 '/debian/$' <<<"$mirrors" || true)
if [ -z "$mirror" ]; then
    echo "error: apt has no mirror of Debian here; take the headers of a release from" \
        "https://github.com/microsoft/onnxruntime/releases, not newer than your library" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
cat >"$work/debian13.sources" <<END
Types: deb
URIs: $mirror
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
options=(
    -qq
    -o "Dir::Etc::sourcelist=$work/debian13.sources"
    -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache=$work/cache"
    -o APT::Sandbox::User=root
)
apt-get "${options[@]}" update
(cd "$work" && apt-get "${options[@]}" download libonnxruntime-dev && dpkg-deb -x ./*.deb unpacked)
mkdir -p "$folder"
cp "$work"/unpacked/usr/include/onnxruntime/*.h "$folder"
