//! Bytes of HTTP/2 and TLS, by hand.

/// Types of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
/// Flags.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The setting of a stream's window (section 6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;
/// The reason of a reset (section 7).
const CANCEL: u32 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// What a client begins with; `window` is what it lets the other side send on a stream, in bytes.
pub fn begin(window: u32) -> Vec<u8> {
    let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &setting)].concat()
}

/// Settings that change nothing, and have to be acknowledged.
pub fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// A question that has to be answered.
pub fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"hostile!")
}

/// Gives a stream up.
pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// A text in HPACK, as it is (RFC 7541, section 5.2).
fn text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text");
    [&[length][..], text.as_bytes()].concat()
}

/// The fields of a request, none of them kept by the other side (RFC 7541, section 6.2.2).
fn fields(method: u8, path: &str) -> Vec<u8> {
    [vec![method, 0x86, 0x04], text(path), vec![0x01], text("localhost"), vec![0x00], text("te"), text("trailers")].concat()
}

/// The head of a call of gRPC, whose message does not come.
pub fn call(stream: u32, path: &str) -> Vec<u8> {
    let kind = [vec![0x0f, 0x10], text("application/grpc")].concat(); // `content-type` is the 31st name
    frame(HEADERS, END_HEADERS, stream, &[fields(0x83, path), kind].concat())
}

/// A whole request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &fields(0x82, path))
}

/// The first part of a head that does not end.
pub fn endless_head(stream: u32) -> Vec<u8> {
    frame(HEADERS, 0, stream, &fields(0x83, "/"))
}

/// More of it: a field of about a kilobyte.
pub fn more_head(stream: u32) -> Vec<u8> {
    let fields: Vec<u8> = (0..8).flat_map(|_| [vec![0x00], text("x"), text(&"y".repeat(120))].concat()).collect();
    frame(CONTINUATION, 0, stream, &fields)
}

/// The first message of a TLS 1.3 handshake (RFC 8446, section 4.1.2), with a key that was no work: the other side does all of its own.
pub fn client_hello() -> Vec<u8> {
    let extension = |kind: u16, body: &[u8]| [&kind.to_be_bytes()[..], &(body.len() as u16).to_be_bytes(), body].concat();
    let list = |body: &[u8]| [&(body.len() as u16).to_be_bytes()[..], body].concat();
    let mut point = [0; 32];
    point[0] = 9; // the base point of X25519
    let x25519 = 0x001d_u16.to_be_bytes();
    let share = [&x25519[..], &list(&point)].concat();
    let extensions = [
        extension(0x000a, &list(&x25519)),                                           // groups
        extension(0x000d, &list(&[0x04, 0x03, 0x05, 0x03, 0x08, 0x07, 0x08, 0x04])), // signatures: ECDSA, Ed25519, RSA-PSS
        extension(0x0010, &list(&[&[2][..], b"h2"].concat())),                       // HTTP/2
        extension(0x002b, &[2, 0x03, 0x04]),                                         // TLS 1.3
        extension(0x0033, &list(&share)),                                            // the key
    ]
    .concat();
    let ciphers = list(&[0x13, 0x01, 0x13, 0x02, 0x13, 0x03]);
    let body = [&[0x03, 0x03][..], &[7; 32], &[0], &ciphers, &[1, 0], &list(&extensions)].concat();
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[0x16, 0x03, 0x01][..], &list(&message)].concat()
}

/// The length in front of a message of gRPC.
pub fn message_length(bytes: u32) -> Vec<u8> {
    [&[0][..], &bytes.to_be_bytes()].concat()
}

/// Data of a stream that goes on.
pub fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(0, 0, stream, bytes)
}
