//! PostgreSQL's programs: what they are called with. Passwords go by the environment.

use url::Url;

use super::error::BackupError;

/// A connection without its password, and the password.
#[derive(Clone)]
pub struct Connection {
    plain: Url,
    password: Option<String>,
}

/// How tables and rows are counted; what it prints is read by [`counted`].
const COUNT: &str = "select 'slipway-count ' || count(*) || ' ' || coalesce(sum((xpath('/row/c/text()', query_to_xml(\
    format('select count(*) as c from %I.%I', schemaname, tablename), false, true, '')))[1]::text::bigint), 0) \
    from pg_tables where schemaname not in ('pg_catalog', 'information_schema')";

impl Connection {
    /// Of a URI. Its text is not shown in the error: it may hold a password.
    pub fn of(uri: &str) -> Result<Self, BackupError> {
        let wrong = |why: &str| BackupError(format!("the database's address cannot be read: {why}"));
        let mut plain = Url::parse(uri.trim()).map_err(|error| wrong(&error.to_string()))?;
        if !["postgres", "postgresql"].contains(&plain.scheme()) {
            return Err(wrong("it does not begin with postgres://"));
        }
        let mut password = plain.password().map(decoded);
        if let Some((_, given)) = plain.query_pairs().find(|(name, _)| name == "password") {
            password = Some(given.into_owned());
            let rest: Vec<(String, String)> =
                plain.query_pairs().filter(|(name, _)| name != "password").map(|(n, v)| (n.into(), v.into())).collect();
            plain.set_query(None);
            if !rest.is_empty() {
                plain.query_pairs_mut().extend_pairs(rest);
            }
        }
        plain.set_password(None).map_err(|()| wrong("it has no host"))?;
        Ok(Self { plain, password })
    }

    /// The database's name.
    pub fn database(&self) -> String {
        let name = decoded(self.plain.path().trim_start_matches('/'));
        if name.is_empty() { self.plain.username().to_owned() } else { name }
    }

    /// The same server, another database.
    pub fn with_database(&self, name: &str) -> Self {
        let mut plain = self.plain.clone();
        plain.set_path(&format!("/{name}"));
        Self { plain, password: self.password.clone() }
    }

    /// The URI without the password, for command lines and people.
    pub fn plain(&self) -> &str {
        self.plain.as_str()
    }

    /// What goes by the environment.
    pub fn env(&self) -> Vec<(String, String)> {
        let password = self.password.iter().map(|password| ("PGPASSWORD".to_owned(), password.clone()));
        password.chain([("PGCONNECT_TIMEOUT".to_owned(), "10".to_owned())]).collect()
    }

    /// Runs `argv` with the password that comes as the first line of standard input, where nothing but the command line goes.
    pub fn told(&self, argv: Vec<String>) -> (Vec<String>, Vec<u8>) {
        let Some(password) = &self.password else { return (argv, Vec::new()) };
        let script = "IFS= read -r PGPASSWORD && export PGPASSWORD && exec \"$@\"";
        let shell = ["sh", "-c", script, "sh"].map(str::to_owned);
        (shell.into_iter().chain(argv).collect(), format!("{password}\n").into_bytes())
    }

    /// Dumps into a file, or to standard output. Unpacked where it is compressed afterwards.
    pub fn dump(&self, to: Option<&str>, packed_later: bool) -> Vec<String> {
        let mut argv: Vec<String> = ["pg_dump", "--format=custom", "--no-password"].map(str::to_owned).into();
        argv.extend(packed_later.then(|| "--compress=0".to_owned()));
        argv.extend(to.map(|to| format!("--file={to}")));
        argv.push(format!("--dbname={}", self.plain));
        argv
    }

    /// Restores a dump into this database, which is empty.
    pub fn restore(&self, from: &str) -> Vec<String> {
        let fixed =
            ["pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password"].map(str::to_owned);
        fixed.into_iter().chain([format!("--dbname={}", self.plain), from.to_owned()]).collect()
    }

    /// Runs a statement.
    pub fn statement(&self, sql: &str) -> Vec<String> {
        let fixed =
            ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password"].map(str::to_owned);
        let rest = ["--set=ON_ERROR_STOP=1".to_owned(), format!("--command={sql}"), self.plain.to_string()];
        fixed.into_iter().chain(rest).collect()
    }

    /// Counts tables and rows.
    pub fn count(&self) -> Vec<String> {
        self.statement(COUNT)
    }

    /// Makes a database beside this one.
    pub fn create(&self, name: &str) -> Vec<String> {
        self.statement(&format!("create database {} template template0", quoted(name)))
    }

    /// Drops a database beside this one, if it is there.
    pub fn drop_database(&self, name: &str) -> Vec<String> {
        self.statement(&format!("drop database if exists {} with (force)", quoted(name)))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.plain)
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `%41` as `A`; what is no such thing stays.
fn decoded(text: &str) -> String {
    let pair = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map_or_else(|| text.to_owned(), |(_, value)| value.into_owned())
}

/// Tables and rows, of what [`Connection::count`] printed.
pub(super) fn counted(output: &str) -> Option<(u64, u64)> {
    let line = output.lines().rev().find_map(|line| line.trim().strip_prefix("slipway-count "))?;
    let (tables, rows) = line.split_once(' ')?;
    Some((tables.parse().ok()?, rows.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_goes_by_the_environment() {
        let connection = Connection::of("postgres://me:p%40ss+word@db:5433/shop?sslmode=disable").unwrap();
        let argv = connection.dump(Some("dump"), true);
        assert_eq!(
            argv,
            [
                "pg_dump",
                "--format=custom",
                "--no-password",
                "--compress=0",
                "--file=dump",
                "--dbname=postgres://me@db:5433/shop?sslmode=disable"
            ]
        );
        assert_eq!(connection.env()[0], ("PGPASSWORD".to_owned(), "p@ss+word".to_owned()));
        assert_eq!(connection.database(), "shop");
        assert_eq!(connection.with_database("other").plain(), "postgres://me@db:5433/other?sslmode=disable");
        assert!(!format!("{connection:?}").contains("ss+word"));
        let (argv, input) = connection.told(argv);
        assert_eq!((argv[0].as_str(), argv[4].as_str(), input.as_slice()), ("sh", "pg_dump", &b"p@ss+word\n"[..]));
        assert!(!argv.join(" ").contains("ss+word"), "no password in arguments");
        let connection = Connection::of("postgres://me@db/shop?password=hush&sslmode=disable").unwrap();
        assert_eq!(connection.plain(), "postgres://me@db/shop?sslmode=disable");
        assert_eq!(connection.env()[0].1, "hush");
    }

    #[test]
    fn a_wrong_address_is_refused_without_showing_it() {
        for uri in ["mysql://me:hush@db/shop", "postgres:hush", "hush"] {
            assert!(!Connection::of(uri).unwrap_err().to_string().contains("hush"), "{uri}");
        }
    }

    #[test]
    fn counts_are_found_in_the_output() {
        assert_eq!(counted("NOTICE: x\nslipway-count 3 1204\n"), Some((3, 1204)));
        assert_eq!(counted("slipway-count many"), None);
    }
}
