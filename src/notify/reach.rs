//! Which hosts notices may be sent to. A pipeline's author chooses the URL, so a server must not be talked into calling what only
//! it can reach.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// What may be reached. Link-local addresses never may: that is where machines of a cloud ask for their own credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Whether addresses of this machine and of private networks may be.
    pub private: bool,
}

impl Reach {
    /// For a run on somebody's own machine.
    pub fn local() -> Self {
        Self { private: true }
    }

    /// For a server.
    pub fn public() -> Self {
        Self { private: false }
    }

    /// Why `address` may not be reached.
    pub fn refuses(self, address: IpAddr) -> Option<&'static str> {
        let address = address.to_canonical();
        let (link_local, nobody, private) = match address {
            IpAddr::V4(v4) => {
                let [a, b, ..] = v4.octets();
                let shared = a == 100 && (64..128).contains(&b) || a == 198 && (18..20).contains(&b);
                (
                    v4.is_link_local(),
                    v4.is_multicast() || v4.is_broadcast(),
                    v4.is_loopback() || v4.is_private() || a == 0 || shared || a >= 240,
                )
            }
            IpAddr::V6(v6) => {
                let [first, second, ..] = v6.segments();
                // NAT64 and 6to4 hold an address of the older kind.
                let wraps = (first, second) == (0x64, 0xff9b) || first == 0x2002;
                (
                    (first & 0xffc0) == 0xfe80,
                    v6.is_multicast(),
                    v6.is_loopback() || v6.is_unspecified() || (first & 0xfe00) == 0xfc00 || wraps,
                )
            }
        };
        if link_local {
            Some("a link-local address")
        } else if nobody {
            Some("an address of many")
        } else if private && !self.private {
            Some("an address of a private network")
        } else {
            None
        }
    }

    /// The addresses of a host, if all of them may be reached; else why not.
    pub async fn addresses(self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Unreachable> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
            .await
            .map_err(|e| Unreachable::Unknown(format!("its name cannot be resolved: {e}")))?
            .collect();
        match found.iter().find_map(|address| self.refuses(address.ip())) {
            Some(why) => Err(Unreachable::Refused(format!("it has {why}, which notices may not be sent to"))),
            None => Ok(found),
        }
    }

    /// Whether `url` may be called; else why not.
    pub async fn check(self, url: &Url) -> Result<(), Unreachable> {
        let port = url.port_or_known_default().unwrap_or(443);
        match url.host() {
            Some(Host::Domain(name)) => self.addresses(name, port).await.map(drop),
            Some(Host::Ipv4(address)) => self.literal(address.into()),
            Some(Host::Ipv6(address)) => self.literal(address.into()),
            None => Err(Unreachable::Refused("its URL names no host".to_owned())),
        }
    }

    fn literal(self, address: IpAddr) -> Result<(), Unreachable> {
        match self.refuses(address) {
            Some(why) => Err(Unreachable::Refused(format!("it has {why}, which notices may not be sent to"))),
            None => Ok(()),
        }
    }
}

/// Why a host cannot be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreachable {
    /// It may not be.
    Refused(String),
    /// Its name is not known now.
    Unknown(String),
}

/// Resolves names within a reach: what the name says when the connection is made counts, not what it said when it was checked.
pub(super) struct Resolver(pub Reach);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            match reach.addresses(name.as_str(), 0).await {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(Unreachable::Refused(why) | Unreachable::Unknown(why)) => Err(why.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reaches_the_public_only_and_nobody_reaches_link_local() {
        for (text, local, public) in [
            ("169.254.169.254", false, false),
            ("fe80::1", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("127.0.0.1", true, false),
            ("0.0.0.0", true, false),
            ("10.0.0.1", true, false),
            ("172.16.5.5", true, false),
            ("192.168.1.1", true, false),
            ("100.64.0.1", true, false),
            ("198.18.0.1", true, false),
            ("::1", true, false),
            ("::", true, false),
            ("fd00:ec2::254", true, false),
            ("::ffff:10.0.0.1", true, false),
            ("64:ff9b::a9fe:a9fe", true, false),
            ("2002:a00:1::", true, false),
            ("203.0.113.7", true, true),
            ("172.32.0.1", true, true),
            ("2001:db8::1", true, true),
        ] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(Reach::local().refuses(address).is_none(), local, "{text} locally");
            assert_eq!(Reach::public().refuses(address).is_none(), public, "{text} from a server");
        }
    }

    #[tokio::test]
    async fn names_and_odd_spellings_are_looked_through() {
        for text in ["http://localhost:1/", "http://0x7f.1/", "http://2130706433/", "http://[::ffff:7f00:1]/"] {
            let url = Url::parse(text).expect("a URL");
            assert!(matches!(Reach::public().check(&url).await, Err(Unreachable::Refused(_))), "{text}");
            assert_eq!(Reach::local().check(&url).await, Ok(()), "{text}");
        }
    }
}
