"""What Python's HTTP clients say of a server: PORT CA_FILE. One line for each thing tried."""
import concurrent.futures
import http.client
import ssl
import sys
import urllib.error
import urllib.request

PORT, CA_FILE = int(sys.argv[1]), sys.argv[2]
BASE = f"https://localhost:{PORT}"
trust = ssl.create_default_context(cafile=CA_FILE)


def connect():
    return http.client.HTTPSConnection("localhost", PORT, context=trust, timeout=30)


def kept_alive():
    connection, sockets = connect(), set()
    for i in range(50):
        connection.request("GET", f"/echo?{i}")
        answer = connection.getresponse()
        assert answer.read() == f"GET /echo?{i} 0".encode(), i
        sockets.add(connection.sock.fileno())
    return f"50 requests over {len(sockets)} connection"


def chunked_upload():
    connection = connect()
    parts = (b"x" * 10_000 for _ in range(300))
    connection.request("PUT", "/echo", body=parts, encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    return connection.getresponse().read().decode()


def head_and_ranges():
    connection = connect()
    connection.request("HEAD", "/file")
    head = connection.getresponse()
    assert head.read() == b""
    connection.request("GET", "/file", headers={"Range": "bytes=10-19"})
    part = connection.getresponse()
    return f"{head.status} {head.getheader('Content-Length')} {part.status} {part.read().decode()}"


def urllib_form():
    request = urllib.request.Request(f"{BASE}/echo", data=b"a=b&c=d", headers={"X-A": "\xe9"})
    with urllib.request.urlopen(request, context=trust, timeout=30) as answer:
        return answer.read().decode()


def error_status():
    try:
        urllib.request.urlopen(f"{BASE}/missing", context=trust, timeout=30)
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode()}"


def side_by_side():
    def get(_):
        with urllib.request.urlopen(f"{BASE}/file", context=trust, timeout=30) as answer:
            return len(answer.read())
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return set(pool.map(get, range(40)))


ATTEMPTS = [kept_alive, chunked_upload, head_and_ranges, urllib_form, error_status, side_by_side]
for attempt in ATTEMPTS:
    print(attempt.__name__, attempt(), sep=": ")
