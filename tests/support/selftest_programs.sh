#!/bin/bash
# selftest_programs.sh gro|toeplitz TEST...: run a program of the kernel's selftests between the ends
# of a wire, and print each test's result as KTAP. It needs no netlink family, so any kernel will do.
#
# TEST is PROTOCOL.NAME for gro (ipv4.data_same), PROTOCOL.VERSION for toeplitz (tcp.4). The
# environment is that of the kernel's own scripts (NETIF, LOCAL_V4, ...); for toeplitz, KEY is the
# card's, as the program wants it.

number=0
remote="ip netns exec $REMOTE_ARGS"
ready=/run/selftests.ready says=/run/selftests.says

report() { # NAME CODE
    number=$((number + 1))
    sed 's/^/# /' $says
    [ "$2" = 0 ] && echo "ok $number $1" || echo "not ok $number $1"
}

# Start a receiver; return when it says that it is ready, or has ended.
receive() {
    rm -f $ready
    mkfifo $ready
    KSFT_READY_FD=5 timeout 30 "$@" 5>$ready >$says 2>&1 &
    receiver=$!
    read -r word <$ready
}

# GRO keeps frames for a while, so that those of a slow sender meet.
hold_frames() { # NANOSECONDS POLLS
    echo "$1" >"/sys/class/net/$NETIF/gro_flush_timeout"
    echo "$2" >"/sys/class/net/$NETIF/napi_defer_hard_irqs"
}

# A test may have to be tried again: only frames that meet are joined. The code 42 says that frames
# were joined that must not be.
gro() {
    protocol=${1%%.*} name=${1#*.}
    case $protocol in
    *6) from=$REMOTE_V6 to=$LOCAL_V6 ;;
    *) from=$REMOTE_V4 to=$LOCAL_V4 ;;
    esac
    set -- ./net/lib/gro "--$protocol" --dmac "$local_mac" --smac "$remote_mac" \
        --saddr "$from" --daddr "$to" --test "$name" --verbose
    for try in 1 2 3 4 5 6; do
        receive "$@" --rx --iface "$NETIF"
        $remote "$@" --iface "$remote_dev" >/dev/null 2>&1
        wait $receiver
        code=$?
        case $code in 0 | 42) break ;; esac
    done
    report "gro.$protocol.$name" $code
}

# The receiver ends when it has seen enough frames.
toeplitz() {
    protocol=${1%%.*} version=${1#*.}
    port=$((8001 + number))
    [ "$version" = 6 ] && to=$LOCAL_V6 || to=$LOCAL_V4
    receive ./drivers/net/hw/toeplitz "-$version" "-${protocol:0:1}" -d $port -i "$NETIF" -k "$KEY" \
        -T 20000 -s -v
    while kill -0 $receiver 2>/dev/null; do
        $remote bash -c "for try in {1..20}; do echo \$try >/dev/$protocol/$to/$port; done" 2>/dev/null
    done
    wait $receiver
    report "toeplitz.$protocol.$version" $?
}

cd "$(dirname "$0")/tools/testing/selftests" || exit
remote_dev=$($remote ip -json address show to "$REMOTE_V4" | jq -r '.[0].ifname')
remote_mac=$($remote cat "/sys/class/net/$remote_dev/address")
local_mac=$(cat "/sys/class/net/$NETIF/address")
program=$1
shift
echo "TAP version 13"
echo "1..$#"
hold_frames 200000 10
for test in "$@"; do
    $program "$test"
done
hold_frames 0 0
