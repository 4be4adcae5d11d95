# Read by `broker`: an authority for the certificates of one household. Its caller has said where they
# go ($server, $trusted, $healthd), where the authority is ($ca) and where to work ($work), and has
# say, fail and put.
# P-256 throughout: every TLS knows it, and the smallest board computes it in no time.
# shellcheck shell=sh disable=SC2154

# Every machine is given the authority's certificate by hand: as rarely as can be.
CA_DAYS=3650
# Apple's systems refuse a server's certificate of more than 825 days, also of a private authority.
DAYS=800
# `setup` renews what has less left: time for a reminder (`healthd doctor` has one in the last 30
# days) and for a holiday.
RENEW_DAYS=90

WHOLE=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff

make_authority() { # NAME ...
    install -d -m 700 "$ca"
    if [ ! -e "$ca/ca.crt" ]; then
        # In the place of one that was taken away, it has to vouch for what the broker is called.
        # shellcheck disable=SC2046
        [ -e "$ca/ca.cnf" ] ||
            describe_authority "$@" $(names_of "$server" | tr ',' '\n' | sed 's/^[A-Z]*://')
        [ -e "$ca/ca.key" ] || make_key "$ca/ca.key"
        sign_authority
        say "The authority that signs certificates is in $ca. Keep a copy of it elsewhere."
    elif expires "$ca/ca.crt" $((DAYS + RENEW_DAYS)); then
        # The key stays: until the old certificate expires, whoever has that one notices nothing.
        sign_authority
        say "The authority's certificate is renewed: give the new one to every machine, $trusted"
    fi
    share "$trusted"
    [ ! -d "$healthd" ] || share "$healthd/ca.crt"
}

# The certificate, which is no secret.
share() { cmp -s "$ca/ca.crt" "$1" || put "$ca/ca.crt" "$1" 644; }

sign_authority() {
    check_key
    quietly openssl req -x509 -new -sha256 -key "$ca/ca.key" -config "$ca/ca.cnf" -days $CA_DAYS \
        -out "$work/ca.crt"
    put "$work/ca.crt" "$ca/ca.crt" 644
}

check_key() {
    [ -e "$ca/ca.key" ] || fail "The authority needs its key to sign: put it back, $ca/ca.key"
}

# It may vouch for the names of private networks and for those of this broker: whoever steals the key
# cannot pose as a bank before those who trust the certificate.
describe_authority() { # NAME ...
    {
        say '[req]' 'prompt = no' 'distinguished_name = subject' 'x509_extensions = extensions' \
            '[subject]' "CN = $(say "healthd CA $(uname -n)" | cut -c 1-64)" \
            '[extensions]' 'basicConstraints = critical, CA:TRUE, pathlen:0' \
            'keyUsage = critical, keyCertSign, cRLSign' 'subjectKeyIdentifier = hash' \
            'nameConstraints = critical, @names' '[names]'
        number=0
        for name in localhost local lan home.arpa internal 127.0.0.0/255.0.0.0 10.0.0.0/255.0.0.0 \
            172.16.0.0/255.240.0.0 192.168.0.0/255.255.0.0 ::1/$WHOLE fc00::/fe00:: fe80::/ffc0:: "$@"
        do
            number=$((number + 1))
            case $(kind "$name") in
                DNS) say "permitted;DNS.$number = $name" ;;
                *) say "permitted;IP.$number = $(with_mask "$name")" ;;
            esac
        done
    } >"$work/ca.cnf"
    put "$work/ca.cnf" "$ca/ca.cnf" 600
}

with_mask() {
    case $1 in
        */*) say "$1" ;;
        *:*) say "$1/$WHOLE" ;;
        *) say "$1/255.255.255.255" ;;
    esac
}

kind() {
    case $1 in
        *:* | *[0-9]/[0-9]*) say IP ;;
        *[!0-9.]*) say DNS ;;
        *) say IP ;;
    esac
}

# Signs one where there is none, it runs out, or does not have all of these names; "force" in any case.
make_server() { # ""|force NAME ...
    force=$1
    shift
    present=$(names_of "$server")
    wanted=$present
    for name in "$@"; do
        entry=$(kind "$name"):$name
        case ,$wanted, in *",$entry,"*) continue ;; esac
        has_name "$name" || wanted=${wanted:+$wanted,}$entry
    done
    if [ -n "$force" ] || [ "$wanted" != "$present" ] || expires "$server" $RENEW_DAYS ||
        ! is_signed "$server"; then
        issue "healthd broker" serverAuth "subjectAltName = $wanted" "$server" mosquitto
        say "The broker's certificate is for $wanted, until $(end_of "$server")."
    fi
}

names_of() {
    openssl x509 -in "$1" -noout -ext subjectAltName 2>/dev/null |
        sed '1d; s/ *//; s/IP Address:/IP:/g; s/, /,/g'
}

# An address can be written in several ways.
has_name() {
    check=-checkhost
    [ "$(kind "$1")" = DNS ] || check=-checkip
    openssl x509 -in "$server" -noout $check "$1" 2>/dev/null | grep -q 'does match'
}

# Or is not there at all.
expires() { # FILE DAYS
    ! openssl x509 -in "$1" -noout -checkend $(($2 * 86400)) >/dev/null 2>&1
}

end_of() { openssl x509 -in "$1" -noout -enddate | sed 's/.*=//'; }

# By this authority, and within what it may vouch for; as strictly as Python 3.13 looks.
is_signed() {
    openssl verify -x509_strict -no_check_time -CAfile "$ca/ca.crt" "$1" >/dev/null 2>&1
}

issue() { # COMMON-NAME USE EXTENSION FILE [OWNER]
    check_key
    make_key "$work/key"
    say 'basicConstraints = critical, CA:FALSE' 'keyUsage = critical, digitalSignature' \
        "extendedKeyUsage = $2" 'subjectKeyIdentifier = hash' 'authorityKeyIdentifier = keyid' \
        "$3" >"$work/extensions"
    quietly openssl req -new -sha256 -key "$work/key" -subj "/CN=$1" -out "$work/request"
    quietly openssl x509 -req -sha256 -in "$work/request" -CA "$ca/ca.crt" -CAkey "$ca/ca.key" \
        -set_serial "0x$(openssl rand -hex 16)" -days $DAYS -extfile "$work/extensions" \
        -out "$work/certificate"
    is_signed "$work/certificate" || fail "The authority may not vouch for all of this: $3" \
        "Permit it in $ca/ca.cnf, remove ca.crt beside it, call this again," \
        "and give every machine the new $trusted."
    # One file: there is no moment at which key and certificate do not belong together.
    cat "$work/key" "$work/certificate" >"$work/pem"
    put "$work/pem" "$4" 600 "${5:-}"
}

make_key() {
    quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1.new"
    mv "$1.new" "$1"
}

# openssl tells of its progress as if it were a mistake.
quietly() { "$@" >"$work/log" 2>&1 || fail "$(cat "$work/log")"; }
