//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use wsload::{Dialect, Publish, Subscribe, Upgrade};

/// Fan-out load for any pub/sub server. In templates `{c}` is the channel, `{i}` the subscriber's number, `{p}` the
/// payload, `{n}` the publication's number.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// Where the server is.
    #[arg(long)]
    pub(crate) addr: SocketAddr,
    /// How subscribers speak.
    #[arg(long, default_value = "ws")]
    sub: Sub,
    /// Path of the WebSocket or event stream.
    #[arg(long, default_value = "/")]
    path: String,
    /// Text frame that each subscriber sends after the handshake; repeatable.
    #[arg(long)]
    send: Vec<String>,
    /// What the frame contains that says that the subscription stands; empty: the handshake is enough.
    #[arg(long, default_value = "")]
    ready: String,
    /// Header line of the subscribers' requests; repeatable.
    #[arg(long)]
    header: Vec<String>,
    /// How publishers speak.
    #[arg(long, default_value = "ws")]
    publish: Pub,
    /// Publishers; publications rotate over them.
    #[arg(long, default_value_t = 1)]
    pub(crate) publishers: usize,
    /// Where publishers connect, if elsewhere.
    #[arg(long)]
    pub(crate) pub_addr: Option<SocketAddr>,
    /// Subscribers speak TLS with a server for localhost that has the certificate in this file; publishers stay plain,
    /// so they need `--pub-addr`.
    #[arg(long, requires = "pub_addr")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Path of the publishers' upgrade or requests; that of the subscribers if absent.
    #[arg(long)]
    pub_path: Option<String>,
    /// Text frame that each publisher sends first; repeatable.
    #[arg(long)]
    pub_send: Vec<String>,
    /// Header line of the publishers' requests; repeatable.
    #[arg(long)]
    pub_header: Vec<String>,
    /// Id, key and secret for `--publish pusher`.
    #[arg(long, default_value = "app:key:secret")]
    app: String,
    /// What a publication looks like.
    #[arg(long, default_value = "{p}")]
    template: String,
    /// The channel.
    #[arg(long, default_value = "bench")]
    channel: String,
    /// Channels over which subscribers and publications are spread.
    #[arg(long, default_value_t = 1)]
    channels: usize,
    /// Subscribers.
    #[arg(short = 'n', long, default_value_t = 1000)]
    pub(crate) subs: usize,
    /// Publications.
    #[arg(short = 'm', long, default_value_t = 1000)]
    pub(crate) messages: usize,
    /// Publications in flight at most.
    #[arg(short = 'w', long, default_value_t = 1)]
    pub(crate) window: usize,
    /// Publications per second, instead of the window.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Bytes of a payload.
    #[arg(long, default_value_t = 128)]
    pub(crate) size: usize,
    /// Process of the server, to be accounted; repeatable.
    #[arg(long)]
    pub(crate) pid: Vec<u32>,
    /// Subscribers that are being opened at a time.
    #[arg(long, default_value_t = 200)]
    pub(crate) opening: usize,
    /// Publish nothing, hold the connections for this many seconds.
    #[arg(long)]
    pub(crate) hold: Option<u64>,
    /// Seconds without progress after which opening is given up.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u64,
    /// What the lines of the report begin with.
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sub {
    Ws,
    Sse,
    Redis,
    Nats,
}

#[derive(Clone, Copy, ValueEnum)]
enum Pub {
    Ws,
    Http,
    Pusher,
    Redis,
    Nats,
}

impl Arguments {
    /// The dialect that the templates describe.
    pub(crate) fn dialect(&self) -> Result<Dialect, String> {
        if self.channels == 0 || self.subs == 0 {
            return Err("there has to be at least one channel and one subscriber".to_owned());
        }
        let subscribe = Upgrade {
            path: self.path.clone(),
            headers: self.header.clone(),
            frames: self.send.clone(),
            ready: self.ready.clone(),
        };
        let publish = Upgrade {
            path: self.pub_path.clone().unwrap_or_else(|| self.path.clone()),
            headers: self.pub_header.clone(),
            frames: self.pub_send.clone(),
            ready: String::new(),
        };
        Ok(Dialect {
            subscribe: match self.sub {
                Sub::Ws => Subscribe::WebSocket(subscribe),
                Sub::Sse => Subscribe::EventStream(subscribe),
                Sub::Redis => Subscribe::Redis,
                Sub::Nats => Subscribe::Nats,
            },
            publish: match self.publish {
                Pub::Ws => Publish::WebSocket(publish),
                Pub::Http => Publish::Http(publish),
                Pub::Pusher => Publish::Pusher(self.app.clone()),
                Pub::Redis => Publish::Redis,
                Pub::Nats => Publish::Nats,
            },
            template: self.template.clone(),
            channel: self.channel.clone(),
            channels: self.channels,
        })
    }
}
