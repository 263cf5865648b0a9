#!/usr/bin/env bash
# The pulumi CLI and its plugin for Azure, for Linux on x86-64, in the versions that requirements.txt locks. Their archives
# are compared with the SHA-256 in checksums.txt.
#   pipelines/pulumi.sh install FOLDER   download, compare, install; the CLI goes into FOLDER/bin
#   pipelines/pulumi.sh record           download, compare with the publisher's checksums, write checksums.txt
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
sums="$root/pipelines/checksums.txt"
downloads=$(mktemp -d)
trap 'rm -rf "$downloads"' EXIT

locked() { sed -n "s/^$1==\([0-9.]*\).*/\1/p" "$root/requirements.txt"; }
cli_version=$(locked pulumi) # the CLI and the SDK are released together, under one number
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

verified() { # an archive that is the recorded one
  grep -q "^[0-9a-f]\{64\}  $1\$" "$sums" ||
    stop "$1: pipelines/checksums.txt has no checksum of it; nothing is installed. Run pipelines/pulumi.sh record, and commit the file"
  download "$2/$1"
  (cd "$downloads" && grep "  $1\$" "$sums" | sha256sum --check --status) ||
    stop "$1: its checksum differs from pipelines/checksums.txt; nothing is installed. Find out why before you record another"
}

install() {
  verified "$cli" "$releases"
  verified "$plugin" "$plugin_releases"
  mkdir -p "$1/bin"
  tar -xzf "$downloads/$cli" -C "$1/bin" --strip-components 1
  PATH="$1/bin:$PATH"
  # From the verified file: with --checksum, a download by HTTP/1.1 always fails (seen with 3.259), as the CLI does not hash
  # bytes that come with the end of the stream.
  pulumi plugin install resource azure-native "$plugin_version" --exact --file "$downloads/$plugin"
}

compare() { # an archive with its line in the publisher's file; the length tells SHA-1 from SHA-256
  told=$(sed -n "s/^\([0-9a-f]*\)  $1\$/\1/p" "$downloads/$2")
  case ${#told} in
    40) tool=sha1sum ;;
    64) tool=sha256sum ;;
    *) stop "$1: the publisher's $2 has no checksum of it; nothing is recorded. Look at the page of the release" ;;
  esac
  echo "$told  $downloads/$1" | $tool --check --status ||
    stop "$1: its checksum differs from the publisher's $2; nothing is recorded. Run again, and trust neither until they agree"
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
