//! Every bound of the connector, on one page.

use std::time::Duration;

/// Links that a gateway keeps, in all.
pub const LINKS: usize = 512;
/// Links of one connector: one for each address by which it knows the gateway, and as many while it renews.
pub const LINKS_OF_ONE: usize = 8;
/// Streams at a time on one link.
pub const STREAMS: u32 = 8_192;
/// Joins that are answered at a time, and as many renewals.
pub const JOINS: usize = 32;
/// The bytes of a request to join and of its answer.
pub const JOIN_BYTES: usize = 16 * 1024;
/// How long a join or a renewal may take on the side of the gateway.
pub const JOIN_TIME: Duration = Duration::from_secs(10);
/// The bytes of the header fields of a message on a link.
pub const HEAD_BYTES: u32 = 16 * 1024;
/// The bytes in which a connector tells of itself.
pub const ABOUT_BYTES: usize = 4 * 1024;
/// How long a new link may take until the connector told of itself.
pub const ABOUT_TIME: Duration = Duration::from_secs(5);
/// What one stream may have under way in one direction.
pub const STREAM_WINDOW: u32 = 1024 * 1024;
/// What one link may have under way in one direction: the most that a peer who does not read can make us hold.
pub const LINK_WINDOW: u32 = 8 * 1024 * 1024;
/// What a stream may have waiting to be written.
pub const SEND_BUFFER: usize = 256 * 1024;
/// How long a link may be silent until it is asked whether it lives.
pub const PING: Duration = Duration::from_secs(2);
/// How long it may take to answer. Within the sum of the two a dead connector is noticed, however it died.
pub const PONG: Duration = Duration::from_secs(2);
/// How often links are held against the house: revoked, expired, site gone.
pub const REVIEW: Duration = Duration::from_secs(1);
/// How many connectors a stream is tried on.
pub const TRIES: usize = 4;
/// How long one connector may take to open a stream while there is another to try.
pub const TRY: Duration = Duration::from_secs(3);
/// How long a connector may take to reach an application.
pub const REACH: Duration = Duration::from_secs(4);
/// The addresses of one name that are tried.
pub const ADDRESSES: usize = 8;
/// The bytes of the first reads of a relay: what a stream that rests costs.
pub const FIRST_BUFFER: usize = 2 * 1024;
/// The bytes of one read of a relay.
pub const BUFFER: usize = 32 * 1024;
/// How long a stream may rest when one side has said all that it had to say.
pub const HALF_OPEN: Duration = Duration::from_secs(120);
/// How often a stream whose peer may have given up is looked after. A socket to an application outlives its stream by this
/// at most.
pub const LOOK: Duration = Duration::from_millis(20);
/// How long a write to an application may wait until the stream behind it is looked after.
pub const STUCK: Duration = Duration::from_millis(100);
/// How long a warrant counts.
pub const WARRANT_LIFE: safeconduct_model::Duration = safeconduct_model::Duration::from_hours(1);
/// The bytes of a warrant.
pub const WARRANT_BYTES: usize = 8 * 1024;
/// The applications whose newest warrant a connector remembers.
pub const WARRANTS: usize = 10_000;
/// The shortest and the longest pause before a connector tries a gateway again.
pub const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// How long a connector waits for TCP and TLS.
pub const CONNECT: Duration = Duration::from_secs(5);
/// How long a link that is left may take until its streams have ended.
pub const DRAIN: Duration = Duration::from_secs(30);
