#!/usr/bin/env bash
# A real Blender with its window, in a Debian chroot, on a virtual screen with software OpenGL.
#
#   real_blender.sh possible        exit 0 if this machine can do it; else say why and exit 1
#   real_blender.sh setup           make the chroot; does nothing where it is already there
#   real_blender.sh run CMD...      run CMD inside; $FURROW_GUI/share is /share there
#   real_blender.sh window ARG...   start the screen and Blender with ARGs; ends when Blender ends
#
# FURROW_GUI    folder of the chroot and of the shared files (default: .cache/gui in the clone)
# FURROW_SUITE  Debian suite: trixie has Blender 4.3.2 with Python 3.13 (the default)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
gui=${FURROW_GUI:-$here/../../.cache/gui}
suite=${FURROW_SUITE:-trixie}
mkdir -p "$gui/share"
gui=$(cd "$gui" && pwd)
root=$gui/$suite
screen=:78

possible() {
  [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || { echo "needs Linux on x86-64"; return 1; }
  [ "$(id -u)" = 0 ] || { echo "needs root, for a chroot; run it in a container"; return 1; }
  unshare -m true 2>/dev/null || { echo "this container may not make mount namespaces"; return 1; }
  [ -e "$root/.whole" ] || command -v mmdebstrap >/dev/null || command -v apt-get >/dev/null ||
    { echo "needs mmdebstrap, or apt-get to install it"; return 1; }
}

# The mirror that this machine's own apt uses, or Debian's.
mirror() {
  local found
  found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ' || true)
  echo "${found:-http://deb.debian.org/debian}"
}

setup() {
  [ -e "$root/.whole" ] && return
  if ! command -v mmdebstrap >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mmdebstrap >/dev/null
  fi
  rm -rf --one-file-system "$root"
  local packages=blender,xvfb,openbox,xdotool
  packages+=,libgl1,libegl1,libglx-mesa0,libgl1-mesa-dri        # llvmpipe draws the window
  packages+=,python3-numpy,python3-requests,python3-cattr        # what Debian's Blender imports
  # Documentation and translations are half of the files and nobody reads them here.
  mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$suite" "$root" "$(mirror)"
  ln -sf ../proc/self/mounts "$root/etc/mtab"
  mkdir -p "$root/share"
  touch "$root/.whole"
}

# The mounts live in a namespace of this one command, so nothing is left behind on the machine.
# It has no network of its own either: what works in here works offline.
run() {
  unshare --mount --net -- bash -ec '
    root=$1 share=$2 screen=$3; shift 3
    mount --make-rprivate /
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --bind "$share" "$root/share"
    exec chroot "$root" /usr/bin/env -i HOME=/share/home PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 \
      DISPLAY="$screen" XDG_RUNTIME_DIR=/tmp LIBGL_ALWAYS_SOFTWARE=1 GALLIUM_DRIVER=llvmpipe \
      BLENDER_USER_RESOURCES=/share/user "$@"
  ' bash "$root" "$gui/share" "$screen" "$@"
}

window() {
  rm -f "$root/tmp/.X${screen#:}-lock"
  run bash -c '
    Xvfb "$DISPLAY" -screen 0 1600x1000x24 -fbdir /share -nolisten tcp -noreset >/share/xvfb.log 2>&1 & x=$!
    for _ in $(seq 200); do xdotool getdisplaygeometry >/dev/null 2>&1 && break; sleep 0.05; done
    openbox >/share/openbox.log 2>&1 & o=$!
    blender --window-geometry 0 0 1600 1000 -setaudio None "$@" >/share/blender.log 2>&1 && rc=0 || rc=$?
    kill $o $x
    exit $rc
  ' bash "$@"
}

case ${1:-} in
  possible | setup | run | window) "$@" ;;
  *) sed -n '2,11p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
