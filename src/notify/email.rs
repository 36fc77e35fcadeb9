//! Email over SMTP.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use url::Url;

use crate::diagnostic::chain;

use super::courier::Undelivered;
use super::notice::{Notice, one_line};
use super::reach::{Reach, Unreachable};

/// A server that takes longer to answer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// An email's envelope.
pub(super) struct Mail<'a> {
    pub(super) to: &'a [String],
    pub(super) smtp: &'a str,
    pub(super) from: &'a str,
}

pub(super) async fn send(reach: Reach, id: &str, notice: &Notice, mail: &Mail<'_>) -> Result<(), Undelivered> {
    let message = message(id, notice, mail)?;
    let transport = transport(reach, mail.smtp).await?;
    match transport.send(message).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_permanent() => Err(Undelivered::Never(chain(&error))),
        Err(error) => Err(Undelivered::later(chain(&error))),
    }
}

fn message(id: &str, notice: &Notice, mail: &Mail<'_>) -> Result<Message, Undelivered> {
    let never = |what: &str| Undelivered::Never(what.to_owned());
    let from: Mailbox = mail.from.parse().map_err(|_| never("the sender's address is not valid"))?;
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(notice.at.0).unwrap_or(0));
    // The same letter has the same id each time it is sent: mail systems drop the second one.
    let known =
        Some(format!("<{}@slipway.invalid>", id.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-")));
    let mut builder = Message::builder()
        .from(from)
        .date(at)
        .message_id(known)
        .subject(one_line(&notice.title))
        .header(ContentType::TEXT_PLAIN)
        // Keeps holiday answers away.
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    for to in mail.to {
        builder = builder.to(to.parse().map_err(|_| never("a receiver's address is not valid"))?);
    }
    builder.body(notice.text()).map_err(|e| never(&format!("the mail cannot be made: {}", chain(&e))))
}

/// `smtp://[user:password@]host[:25]`, `smtps://...` (TLS from the start, 465). With `smtp` TLS is begun where the server offers it;
/// `?tls=required` asks for it, and a password is sent over TLS only, except within this machine or by `?tls=none`.
async fn transport(reach: Reach, url: &str) -> Result<AsyncSmtpTransport<Tokio1Executor>, Undelivered> {
    // Another one may be installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let never = |what: &str| Undelivered::Never(what.to_owned());
    let url = Url::parse(url).map_err(|_| never("the mail server's URL is not valid"))?;
    let host =
        url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| never("the mail server's URL names no host"))?;
    let wrapped = match url.scheme() {
        "smtps" => true,
        "smtp" => false,
        _ => return Err(never("the mail server's URL begins with neither smtp:// nor smtps://")),
    };
    let port = url.port().unwrap_or(if wrapped { 465 } else { 25 });
    let addresses = reach.addresses(host, port).await.map_err(|why| match why {
        Unreachable::Refused(why) => Undelivered::Never(format!("the mail server cannot be used: {why}")),
        Unreachable::Unknown(why) => Undelivered::later(format!("the mail server cannot be reached: {why}")),
    })?;
    let address = addresses.first().ok_or_else(|| Undelivered::later("the mail server has no address"))?;
    let secret = url.password().is_some() && !address.ip().is_loopback();
    let wanted = url.query_pairs().find(|(key, _)| key == "tls").map(|(_, value)| value.into_owned());
    let parameters = || {
        TlsParameters::new(host.trim_matches(['[', ']']).to_owned())
            .map_err(|e| Undelivered::Never(format!("TLS cannot be set up: {}", chain(&e))))
    };
    let tls = match wanted.as_deref() {
        _ if wrapped => Tls::Wrapper(parameters()?),
        Some("none") => Tls::None,
        Some("required") => Tls::Required(parameters()?),
        _ if secret => Tls::Required(parameters()?),
        _ => Tls::Opportunistic(parameters()?),
    };
    // The address, not the name: it was checked, and is not asked for again.
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
        .port(port)
        .tls(tls)
        .timeout(Some(PATIENCE));
    if let Some(password) = url.password() {
        builder = builder.credentials(Credentials::new(decoded(url.username())?, decoded(password)?));
    }
    Ok(builder.build())
}

fn decoded(text: &str) -> Result<String, Undelivered> {
    // `form_urlencoded` takes `+` for a space, which a URL's user and password do not.
    let pair = format!("v={}", text.replace('+', "%2B"));
    let found = url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned());
    found.ok_or_else(|| Undelivered::Never("the mail server's credentials are not valid".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::notify::card::Card;

    #[test]
    fn a_mail_is_the_same_each_time_and_has_no_headers_of_others() {
        let notice = Notice {
            event: "failure".to_owned(),
            at: Timestamp(1_700_000_000_000),
            card: Card { id: "0abc".to_owned(), pipeline: "shop".to_owned(), ..Card::default() },
            stage: None,
            app: None,
            environment: None,
            title: "shop failed\r\nBcc: eve@example.com".to_owned(),
            lines: vec!["grüße".to_owned()],
            gate: None,
            command: None,
        };
        let to = ["a@example.com".to_owned(), "B <b@example.com>".to_owned()];
        let mail = Mail { to: &to, smtp: "smtp://localhost", from: "CI <ci@example.com>" };
        let bytes = message("0abc.7.0.0", &notice, &mail).expect("a mail").formatted();
        assert_eq!(bytes, message("0abc.7.0.0", &notice, &mail).expect("a mail").formatted());
        let text = String::from_utf8(bytes).expect("ASCII");
        assert!(text.contains("Message-ID: <0abc.7.0.0@slipway.invalid>\r\n"), "{text}");
        assert!(text.contains("Subject: shop failed Bcc: eve@example.com\r\n"), "{text}");
        assert!(text.contains("Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"), "{text}");
        assert!(message("1", &notice, &Mail { to: &["nobody".to_owned()], ..mail }).is_err());
    }

    #[tokio::test]
    async fn servers_are_named_by_url() {
        let refused = |url: &'static str, reach| async move {
            transport(reach, url).await.err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(refused("smtp://localhost:2525", Reach::local()).await, "");
        assert_eq!(refused("smtps://u:p%40ss@127.0.0.1", Reach::local()).await, "");
        assert!(refused("smtp://127.0.0.1", Reach::public()).await.contains("private network"));
        assert!(refused("smtp://169.254.169.254", Reach::local()).await.contains("link-local"));
        assert!(refused("http://localhost", Reach::local()).await.contains("neither smtp://"));
        assert_eq!(decoded("a+b%40c").expect("text"), "a+b@c");
    }
}
