//! The migration: as much of PostgreSQL's protocol as a script of SQL needs. `DATABASE` is `postgres://user:password@host:port/name`.

use std::env;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
/// No answer to our own script is longer.
const MESSAGE: usize = 1024 * 1024;

/// All that ever was, each part harmless when it is there already; and a row for each time this ran.
const SCRIPT: &str = "begin;
create table if not exists moods (name text primary key, since timestamptz not null default now());
insert into moods (name) values ('calm'), ('curious'), ('cheerful'), ('content') on conflict do nothing;
create table if not exists migrations (id serial primary key, version text not null, at timestamptz not null default now());
insert into migrations (version) values (current_setting('application_name'));
commit;";

struct Place {
    user: String,
    password: String,
    host: String,
    database: String,
}

fn place(text: &str) -> Option<Place> {
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))?;
    let (who, rest) = rest.split_once('@')?;
    let (user, password) = who.split_once(':').unwrap_or((who, ""));
    let (host, database) = rest.split_once('/')?;
    let host = if host.contains(':') { host.to_string() } else { format!("{host}:5432") };
    let database = database.split('?').next().unwrap_or_default();
    Some(Place { user: user.into(), password: password.into(), host, database: database.into() })
}

/// Says what was done.
pub fn migrate() -> Result<String, String> {
    let text = env::var("DATABASE").unwrap_or_default();
    if text.is_empty() {
        return Ok("DATABASE is empty: there is nothing to migrate".into());
    }
    let place = place(&text).ok_or("DATABASE is not postgres://user:password@host:port/name")?;
    let version = env::var("VERSION").unwrap_or_else(|_| "v0".into());
    let mut stream = connect(&place.host)?;
    let mut start = 196_608_u32.to_be_bytes().to_vec();
    for (key, value) in [("user", &place.user), ("database", &place.database), ("application_name", &version)] {
        start.extend([key.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    start.push(0);
    send(&mut stream, None, &start)?;
    converse(&mut stream, &place.password)?;
    send(&mut stream, Some(b'Q'), format!("{SCRIPT}\0").as_bytes())?;
    converse(&mut stream, &place.password)?;
    // The server would do without the good-bye.
    let _ = send(&mut stream, Some(b'X'), &[]);
    Ok(format!("the database \"{}\" is at {version}", place.database))
}

/// Tries for a while: a database that has just been started is not there at once.
fn connect(host: &str) -> Result<TcpStream, String> {
    let say = |why: std::io::Error| format!("\"{host}\" does not answer: {why}");
    let began = Instant::now();
    loop {
        let address = host.to_socket_addrs().map_err(say)?.next().ok_or(format!("\"{host}\" has no address"))?;
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).map_err(say)?;
                return Ok(stream);
            }
            Err(why) if began.elapsed() >= PATIENCE => return Err(say(why)),
            Err(_) => thread::sleep(Duration::from_millis(200)),
        }
    }
}

fn send(stream: &mut TcpStream, kind: Option<u8>, body: &[u8]) -> Result<(), String> {
    let mut message: Vec<u8> = kind.into_iter().collect();
    message.extend((body.len() as u32 + 4).to_be_bytes());
    message.extend(body);
    stream.write_all(&message).map_err(|why| why.to_string())
}

/// Reads until the server is ready for more.
fn converse(stream: &mut TcpStream, password: &str) -> Result<(), String> {
    let mut failed = None;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).map_err(|why| failed.take().unwrap_or(why.to_string()))?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if !(4..=MESSAGE).contains(&length) {
            return Err("the answer is not PostgreSQL's".into());
        }
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).map_err(|why| why.to_string())?;
        match head[0] {
            b'R' => match body.get(..4) {
                Some([0, 0, 0, 0]) => {}
                Some([0, 0, 0, 3]) => send(stream, Some(b'p'), format!("{password}\0").as_bytes())?,
                _ => {
                    return Err("the server wants a kind of password that is not spoken here (use \"password\")".into())
                }
            },
            // Fields of one letter and a text; the one after M is for people.
            b'E' => {
                let fields = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
                let text = fields.filter_map(|field| field.strip_prefix('M').map(str::to_string)).next();
                failed = Some(text.unwrap_or_else(|| "the server refused".into()));
            }
            b'Z' => return failed.map_or(Ok(()), Err),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_with_its_defaults() {
        let place = place("postgres://me:secret@db/moods?sslmode=disable").unwrap();
        assert_eq!((place.user.as_str(), place.password.as_str()), ("me", "secret"));
        assert_eq!((place.host.as_str(), place.database.as_str()), ("db:5432", "moods"));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        assert!(place("mysql://me@db/moods").is_none());
        assert!(place("postgres://db").is_none());
    }
}
