# A certificate authority for one household, sourced by `broker`. The caller sets where certificates go
# ($server, $trusted, $healthd), where the authority is ($ca) and where to work ($work), and defines
# say, fail and put.
# P-256 throughout: every TLS library supports it, and it is fast even on the smallest board.
# shellcheck shell=sh disable=SC2154

# The authority's certificate is copied to every machine by hand, so it should rarely change.
CA_DAYS=3650
# Apple's systems refuse server certificates valid for more than 825 days, even from a private
# authority.
DAYS=800
# `setup` renews certificates with fewer days left. This leaves time for a reminder (`healthd doctor`
# warns in the last 30 days) and for a holiday.
RENEW_DAYS=90

WHOLE=ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff

make_authority() { # NAME ...
    install -d -m 700 "$ca"
    if [ ! -e "$ca/ca.crt" ]; then
        # If it replaces a lost authority, its certificate must permit the broker's present names.
        # shellcheck disable=SC2046
        [ -e "$ca/ca.cnf" ] ||
            describe_authority "$@" $(names_of "$server" | tr ',' '\n' | sed 's/^[A-Z]*://')
        [ -e "$ca/ca.key" ] || make_key "$ca/ca.key"
        sign_authority
        say "The certificate authority is in $ca. Keep a backup of this folder elsewhere."
    elif expires "$ca/ca.crt" $((DAYS + RENEW_DAYS)); then
        # The key stays, so clients with the old certificate keep working until that one expires.
        sign_authority
        say "The authority's certificate is renewed: copy the new one to every machine: $trusted"
    fi
    share "$trusted"
    [ ! -d "$healthd" ] || share "$healthd/ca.crt"
}

# Copy the authority's certificate, which is not secret.
share() { cmp -s "$ca/ca.crt" "$1" || put "$ca/ca.crt" "$1" 644; }

sign_authority() {
    check_key
    quietly openssl req -x509 -new -sha256 -key "$ca/ca.key" -config "$ca/ca.cnf" -days $CA_DAYS \
        -out "$work/ca.crt"
    put "$work/ca.crt" "$ca/ca.crt" 644
}

check_key() {
    [ -e "$ca/ca.key" ] || fail "The authority needs its key to sign: restore $ca/ca.key"
}

# The authority may sign only for names of private networks and for this broker: with a stolen key
# a thief cannot impersonate a bank to the machines that trust its certificate.
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

# Sign a certificate if there is none, if it expires soon, or if it lacks one of these names; with
# "force" in any case.
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
        say "The broker's certificate is for $wanted, valid until $(end_of "$server")."
    fi
}

names_of() {
    openssl x509 -in "$1" -noout -ext subjectAltName 2>/dev/null |
        sed '1d; s/ *//; s/IP Address:/IP:/g; s/, /,/g'
}

# openssl compares: an address can be written in several ways.
has_name() {
    check=-checkhost
    [ "$(kind "$1")" = DNS ] || check=-checkip
    openssl x509 -in "$server" -noout $check "$1" 2>/dev/null | grep -q 'does match'
}

# Also true if the file does not exist.
expires() { # FILE DAYS
    ! openssl x509 -in "$1" -noout -checkend $(($2 * 86400)) >/dev/null 2>&1
}

end_of() { openssl x509 -in "$1" -noout -enddate | sed 's/.*=//'; }

# Check that this authority signed it, and only for names that it permits, as strictly as Python 3.13.
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
    is_signed "$work/certificate" || fail "The authority does not permit all of these names: $3" \
        "Permit them in $ca/ca.cnf, remove $ca/ca.crt, run this again," \
        "and copy the new $trusted to every machine."
    # One file, so key and certificate always match.
    cat "$work/key" "$work/certificate" >"$work/pem"
    put "$work/pem" "$4" 600 "${5:-}"
}

make_key() {
    quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1.new"
    mv "$1.new" "$1"
}

# openssl writes its progress to standard error: show it only after a failure.
quietly() { "$@" >"$work/log" 2>&1 || fail "$(cat "$work/log")"; }
