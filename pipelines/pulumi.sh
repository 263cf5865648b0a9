#!/usr/bin/env bash
# Installs the pulumi CLI and its Azure plugin for Linux on x86-64, in the versions that requirements.txt locks. Verifies
# their archives against the SHA-256 checksums in checksums.txt.
#   pipelines/pulumi.sh install FOLDER   download, verify and install; the CLI is installed into FOLDER/bin
#   pipelines/pulumi.sh record           download, verify against the publisher's checksums, write checksums.txt
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
sums="$root/pipelines/checksums.txt"
downloads=$(mktemp -d)
trap 'rm -rf "$downloads"' EXIT

locked() { sed -n "s/^$1==\([0-9.]*\).*/\1/p" "$root/requirements.txt"; }
cli_version=$(locked pulumi) # CLI and SDK are released together, with one version
plugin_version=$(locked pulumi-azure-native)
cli="pulumi-v$cli_version-linux-x64.tar.gz"
plugin="pulumi-resource-azure-native-v$plugin_version-linux-amd64.tar.gz"
releases="https://get.pulumi.com/releases/sdk"
plugin_releases="https://github.com/pulumi/pulumi-azure-native/releases/download/v$plugin_version"

stop() {
  echo "$1" >&2
  exit 1
}

download() { curl --proto '=https' --fail --silent --show-error --location --retry 3 --output "$downloads/${1##*/}" "$1"; }

verified() { # download an archive and compare it with its recorded checksum
  grep -q "^[0-9a-f]\{64\}  $1\$" "$sums" ||
    stop "$1: has no checksum in pipelines/checksums.txt; nothing is installed. Run pipelines/pulumi.sh record and commit the file"
  download "$2/$1"
  (cd "$downloads" && grep "  $1\$" "$sums" | sha256sum --check --status) ||
    stop "$1: its checksum differs from pipelines/checksums.txt; nothing is installed. Find the cause before you record a new one"
}

install() {
  verified "$cli" "$releases"
  verified "$plugin" "$plugin_releases"
  mkdir -p "$1/bin"
  tar -xzf "$downloads/$cli" -C "$1/bin" --strip-components 1
  PATH="$1/bin:$PATH"
  # Install from the verified file: with --checksum, an HTTP/1.1 download always fails (seen with 3.259), because the CLI
  # does not hash the bytes that it reads together with the end of the stream.
  pulumi plugin install resource azure-native "$plugin_version" --exact --file "$downloads/$plugin"
}

compare() { # compare an archive with its line in the publisher's file; the length distinguishes SHA-1 and SHA-256
  published=$(sed -n "s/^\([0-9a-f]*\)  $1\$/\1/p" "$downloads/$2")
  case ${#published} in
    40) tool=sha1sum ;;
    64) tool=sha256sum ;;
    *) stop "$1: has no checksum in the publisher's $2; nothing is recorded. Check the release page" ;;
  esac
  echo "$published  $downloads/$1" | $tool --check --status ||
    stop "$1: its checksum differs from the publisher's $2; nothing is recorded. Run again; do not use the archive until they match"
}

record() {
  download "$releases/$cli"
  download "$releases/pulumi-$cli_version-checksums.txt"
  compare "$cli" "pulumi-$cli_version-checksums.txt"
  download "$plugin_releases/$plugin"
  download "$plugin_releases/pulumi-azure-native_${plugin_version}_checksums.txt"
  compare "$plugin" "pulumi-azure-native_${plugin_version}_checksums.txt"
  found=$(cd "$downloads" && sha256sum "$cli" "$plugin")
  echo "$found" >"$sums"
}

case "$#-${1:-}" in
  2-install) install "$2" ;;
  1-record) record ;;
  *) stop "usage: pipelines/pulumi.sh install FOLDER | record" ;;
esac
