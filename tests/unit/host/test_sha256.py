"""SHA-256 without OpenSSL."""

import hashlib
import sys
from subprocess import run

import pytest

from healthd.host.sha256 import sha256

# Of the Secure Hash Standard, FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

SCRIPT = """
import sys
for name in sys.argv[1:]:
    sys.modules[name] = None
from healthd.host.sha256 import sha256
print(sha256(b"abc").hexdigest(), "_hashlib" in sys.modules)
"""


def test_the_example_of_the_standard() -> None:
    assert sha256(b"abc").hexdigest() == ABC
    assert sha256(b"abc").digest().hex() == ABC


@pytest.mark.parametrize("content", [b"", b"healthd" + bytes(32), bytes(range(256)) * 5])
def test_it_is_that_of_hashlib(content: bytes) -> None:
    assert sha256(content).hexdigest() == hashlib.sha256(content).hexdigest()


def test_openssl_is_loaded_only_if_python_has_no_sha256_of_its_own() -> None:
    def script(*missing: str) -> str:
        command = [sys.executable, "-c", SCRIPT, *missing]
        return run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

    assert script() == f"{ABC} False"
    assert script("_sha2", "_sha256") == f"{ABC} True"
