//! The report file in the workspace: made room for, then read with care. A scanner, or a file of the commit, may have made a
//! link of it.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

use super::ReportError;

/// No honest report is larger; one for a whole distribution has some ten MiB.
const MAX_BYTES: u64 = 64 << 20;
/// The folder of reports that Slipway asks for, relative to the workspace.
pub const FOLDER: &str = ".slipway-scan";

/// Makes the folder of reports and removes what an earlier scanner, or the commit, left at `file`.
pub fn make_room(workspace: &Path, file: &str) -> std::io::Result<()> {
    let folder = workspace.join(FOLDER);
    if file.starts_with(FOLDER) {
        match fs::symlink_metadata(&folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => fs::remove_file(&folder)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        fs::create_dir_all(&folder)?;
        open_to_all(&folder)?;
    }
    let path = workspace.join(file);
    // A folder of the commit that is a link must not lead the removal elsewhere.
    let folder = match fs::canonicalize(path.parent().unwrap_or(workspace)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !folder.starts_with(fs::canonicalize(workspace)?) {
        return Err(std::io::Error::other("it lies outside of the workspace"));
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The scanner's image may run as another user than this process.
fn open_to_all(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777))
}

/// Whether `file` stays within the folder that it is relative to.
pub fn stays_within(file: &str) -> bool {
    let path = Path::new(file);
    !file.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The report's text.
pub fn read(workspace: &Path, file: &str) -> Result<String, ReportError> {
    let path = inside(workspace, file)?;
    let unreadable = |error: std::io::Error| ReportError::Unreadable(error.to_string());
    let opened = fs::File::open(&path).map_err(unreadable)?;
    let found = opened.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(ReportError::Unreadable(format!("\"{file}\" is no file")));
    }
    let mut bytes = Vec::new();
    opened.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ReportError::TooLarge(found.len() >> 20, MAX_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|_| ReportError::NotJson("it is no UTF-8".to_owned()))
}

/// Where `file` really is, if that is within the workspace.
pub fn inside(workspace: &Path, file: &str) -> Result<PathBuf, ReportError> {
    let missing = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => ReportError::Missing(file.to_owned()),
        _ => ReportError::Unreadable(error.to_string()),
    };
    let root = fs::canonicalize(workspace).map_err(missing)?;
    let path = fs::canonicalize(root.join(file)).map_err(missing)?;
    if !path.starts_with(&root) || !stays_within(file) {
        return Err(ReportError::Outside(file.to_owned()));
    }
    Ok(path)
}

/// The report as JSON.
pub fn json(text: &str) -> Result<serde_json::Value, ReportError> {
    // Some write a mark of their byte order.
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(ReportError::NotJson("it is empty".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| ReportError::NotJson(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_out_of_the_workspace_is_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let workspace = place.path().join("w");
        fs::create_dir(&workspace).unwrap();
        fs::write(place.path().join("secret.json"), "[]").unwrap();
        std::os::unix::fs::symlink("../secret.json", workspace.join("report.json")).unwrap();
        assert_eq!(read(&workspace, "report.json"), Err(ReportError::Outside("report.json".to_owned())));
        assert_eq!(read(&workspace, "../secret.json"), Err(ReportError::Outside("../secret.json".to_owned())));
        std::os::unix::fs::symlink(place.path(), workspace.join(FOLDER)).unwrap();
        make_room(&workspace, ".slipway-scan/a.json").unwrap();
        assert!(fs::symlink_metadata(workspace.join(FOLDER)).unwrap().is_dir());
        std::os::unix::fs::symlink(place.path(), workspace.join("out")).unwrap();
        assert!(make_room(&workspace, "out/secret.json").is_err());
        assert!(place.path().join("secret.json").exists());
    }

    #[test]
    fn what_is_cut_off_is_no_report() {
        for text in ["", "  \n", "[", "[{\"RuleID\": \"a\"", "{\"Results\": ["] {
            assert!(matches!(json(text), Err(ReportError::NotJson(_))), "{text}");
        }
    }
}
