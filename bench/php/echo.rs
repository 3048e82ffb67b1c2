//! The bare ping-pong: a blocking server that answers every request of a fixed size with a reply of a fixed size.
//! Usage: `echo REQUEST REPLY SOCKET`, sizes in bytes. Prints its TCP address; the same on the unix socket SOCKET.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

fn answer(mut stream: impl Read + Write, request: usize, reply: usize) {
    let (mut buffer, reply) = (vec![0; request.max(1)], vec![b'x'; reply]);
    let mut read = 0;
    while let Ok(more @ 1..) = stream.read(&mut buffer[read..]) {
        read += more;
        if read == request {
            read = 0;
            if stream.write_all(&reply).is_err() {
                return;
            }
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [request, reply, socket] = arguments.as_slice() else { panic!("usage: echo REQUEST REPLY SOCKET") };
    let (request, reply) = (request.parse().expect("a size"), reply.parse().expect("a size"));
    let unix = UnixListener::bind(socket).expect("the socket must be new");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    std::thread::spawn(move || {
        for stream in unix.incoming().flatten() {
            std::thread::spawn(move || answer(stream, request, reply));
        }
    });
    println!("{}", tcp.local_addr().expect("it is bound"));
    for stream in tcp.incoming().flatten() {
        // A measurement of round trips, not of waiting for more bytes.
        let _ = stream.set_nodelay(true);
        std::thread::spawn(move || answer(stream, request, reply));
    }
}
