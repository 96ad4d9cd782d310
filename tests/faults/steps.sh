#!/bin/bash
# What is done in the guest with a card: steps.sh STEP DEVICE NUMBER [FLAG]. Prints what came of it as
# NAME=VALUE, then the kernel's log since the last step.

step=$1 device=$2 number=$3 flag=$4
driver=/sys/bus/pci/drivers/cxgb4
holder=/run/far.$number

interface() {
    for path in /sys/bus/pci/devices/"$device"/net/*; do
        [ "$(cat "$path/dev_port" 2>/dev/null)" = "$1" ] && echo "${path##*/}" && return
    done
}

# Runs a command; prints `NAME=ok`, or what it complains of.
try() {
    if error=$("${@:2}" 2>&1 >/dev/null); then
        echo "$1=ok"
    else
        echo "$1=${error##*: }"
    fi
}

store() { echo "$1" >"$2"; }
far() { nsenter -t "$(cat "$holder")" -n "$@"; }
carrier_of() { cat "/sys/class/net/$1/carrier" 2>/dev/null || echo none; }

wait_for_carrier() {
    for _ in {1..60}; do
        [ "$(carrier_of "$1")" = 1 ] && break
        sleep 0.05
    done
    echo "carrier=$(carrier_of "$1")"
}

bind() {
    try bind store "$device" "$driver/bind"
    echo "interfaces=$(ls "/sys/bus/pci/devices/$device/net" 2>/dev/null | wc -l)"
}

unbind() {
    pkill ping
    [ ! -e "$driver/$device" ] || try unbind store "$device" "$driver/unbind"
}

# Brings up port 0, and port 1 in a network namespace: a link has two ends.
open() {
    near=$(interface 0) away=$(interface 1)
    sysctl -q net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.all.disable_ipv6=1
    [ -e "$holder" ] || { unshare -n sleep 1000000 >/dev/null 2>&1 & echo $! >"$holder"; sleep 0.2; }
    [ -z "$away" ] || { ip link set dev "$away" netns "$(cat "$holder")"; echo "$away" >"$holder.name"; }
    try open ip link set dev "$near" up
    away=$(cat "$holder.name")
    far ip link set dev "$away" up
    wait_for_carrier "$near"
}

# Gives the ports addresses. A ping goes on in the background.
join() {
    open
    ip addr replace "10.9.$number.1/24" dev "$near"
    far ip addr replace "10.9.$number.2/24" dev "$away"
    ping -i 0.05 "10.9.$number.2" >/dev/null 2>&1 &
    answered
}

answered() {
    echo "answered=$(ping -q -c 10 -i 0.1 -W 1 -w 3 "10.9.$number.2" | sed -n 's/.* \([0-9]*\) received.*/\1/p')"
}

# An interface whose queue is stuck is found by the kernel's watchdog after five seconds.
traffic() {
    near=$(interface 0)
    sleep 1
    found=$(answered)
    case $found in answered=0 | answered=10) ;; *) found=$(sleep 1; answered) ;; esac
    echo "$found"
    carrier=$(carrier_of "$near")
    echo "carrier=$carrier"
    [ "$found" != answered=0 ] || [ "$carrier" != 1 ] || sleep 8
}

dump() {
    near=$(interface 0)
    rm -f /share/dump
    try flag ethtool -W "$near" "$flag"
    try dump ethtool -w "$near" data /share/dump
}

"$step"
echo log:
dmesg --raw --syslog
dmesg --clear
