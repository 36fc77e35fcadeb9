//! The context of a build: the folder as an archive, what `.dockerignore` lists left out.

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::ignored::DockerIgnore;

/// Under this name goes a Dockerfile that lies outside of the context.
const FOREIGN_DOCKERFILE: &str = ".slipway.Dockerfile";
/// No Dockerfile, and no `.dockerignore`, is larger.
const MAX_TEXT: u64 = 1 << 20;

/// Where a build's files are, checked to be in the workspace.
#[derive(Debug, Clone)]
pub struct Context {
    folder: PathBuf,
    /// The Dockerfile's real place.
    dockerfile: PathBuf,
    /// Its name within the archive.
    pub dockerfile_name: String,
    /// Its text.
    pub dockerfile_text: String,
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packed {
    /// Files, links and folders.
    pub entries: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// Things that no archive can hold (sockets, devices), which were left out.
    pub strange: Vec<String>,
}

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// It leads elsewhere.
    #[error(
        "the {0} \"{1}\" lies outside of the workspace, and only what was checked out is built; name a path within it"
    )]
    Outside(&'static str, String),
    /// It is not there.
    #[error("there is no {0} \"{1}\"{2}")]
    Missing(&'static str, String, String),
    /// It is not what it should be.
    #[error("the {0} \"{1}\" is {2}")]
    Strange(&'static str, String, &'static str),
    /// `.dockerignore` cannot be read.
    #[error("\"{0}\" cannot be understood: {1}")]
    Ignore(String, String),
    /// The file system says no.
    #[error("failed to read the {0} \"{1}\"")]
    Read(&'static str, String, #[source] io::Error),
    /// Packing failed.
    #[error("failed to pack the context")]
    Pack(#[source] io::Error),
}

impl Context {
    /// Finds the context `folder` of the workspace and the Dockerfile `file` in it.
    pub fn find(workspace: &Path, folder: &str, file: &str) -> Result<Self, ContextError> {
        let root = fs::canonicalize(workspace)
            .map_err(|error| ContextError::Read("workspace", workspace.display().to_string(), error))?;
        let path = inside(&root, &root, "context", folder, String::new())?;
        if !path.is_dir() {
            return Err(ContextError::Strange("context", folder.to_owned(), "no folder"));
        }
        let hint = || {
            let names = names_of_dockerfiles(&path);
            let there = if names.is_empty() { String::new() } else { format!("; there is {}", names.join(", ")) };
            format!(" in the context \"{folder}\"{there}; name it with \"file\"")
        };
        let dockerfile = inside(&root, &path, "Dockerfile", file, hint())?;
        let read = |error| ContextError::Read("Dockerfile", file.to_owned(), error);
        let found = fs::metadata(&dockerfile).map_err(read)?;
        if !found.is_file() {
            return Err(ContextError::Strange("Dockerfile", file.to_owned(), "no file"));
        }
        if found.len() > MAX_TEXT {
            return Err(ContextError::Strange("Dockerfile", file.to_owned(), "larger than 1 MiB"));
        }
        let text = fs::read(&dockerfile).map_err(read)?;
        let name = dockerfile.strip_prefix(&path).ok().and_then(Path::to_str).unwrap_or(FOREIGN_DOCKERFILE);
        Ok(Self {
            dockerfile_name: name.to_owned(),
            dockerfile_text: String::from_utf8_lossy(&text).into_owned(),
            folder: path,
            dockerfile,
        })
    }

    /// The rules of what is left out: beside the Dockerfile those of its own name, else those of the context.
    pub fn ignore(&self) -> Result<DockerIgnore, ContextError> {
        let mut own = self.dockerfile.clone().into_os_string();
        own.push(".dockerignore");
        for path in [PathBuf::from(own), self.folder.join(".dockerignore")] {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match fs::File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(ContextError::Read("file", name, error)),
                Ok(file) => {
                    let mut text = String::new();
                    file.take(MAX_TEXT)
                        .read_to_string(&mut text)
                        .map_err(|error| ContextError::Read("file", name.clone(), error))?;
                    return DockerIgnore::parse(&text).map_err(|why| ContextError::Ignore(name, why));
                }
            }
        }
        Ok(DockerIgnore::default())
    }

    /// Packs it into `archive`. The same files give the same archive but for their times.
    pub fn pack(&self, archive: &Path) -> Result<Packed, ContextError> {
        let ignore = self.ignore()?;
        let file = fs::File::create(archive).map_err(ContextError::Pack)?;
        let mut packer = Packer {
            tar: tar::Builder::new(BufWriter::new(file)),
            ignore,
            always: vec![self.dockerfile_name.clone(), ".dockerignore".to_owned()],
            packed: Packed::default(),
        };
        packer.folder(&self.folder, "").map_err(ContextError::Pack)?;
        if self.dockerfile_name == FOREIGN_DOCKERFILE {
            packer.file(&self.dockerfile, FOREIGN_DOCKERFILE).map_err(ContextError::Pack)?;
        }
        let mut packed = packer.packed;
        let mut file = packer.tar.into_inner().map_err(ContextError::Pack)?;
        file.flush().map_err(ContextError::Pack)?;
        packed.bytes = fs::metadata(archive).map_err(ContextError::Pack)?.len();
        Ok(packed)
    }
}

struct Packer {
    tar: tar::Builder<BufWriter<fs::File>>,
    ignore: DockerIgnore,
    /// What the engine needs even where it is left out of the image.
    always: Vec<String>,
    packed: Packed,
}

impl Packer {
    fn folder(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        let mut entries: Vec<fs::DirEntry> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let relative = match name.to_str() {
                Some(name) if prefix.is_empty() => name.to_owned(),
                Some(name) => format!("{prefix}/{name}"),
                None => {
                    self.packed.strange.push(name.to_string_lossy().into_owned());
                    continue;
                }
            };
            let out = self.ignore.leaves_out(&relative) && !self.always.contains(&relative);
            let kind = entry.file_type()?;
            let path = entry.path();
            if kind.is_dir() {
                let wanted = self.always.iter().any(|always| always.starts_with(&format!("{relative}/")));
                if !out {
                    self.tar.append_data(&mut header(&path)?, format!("{relative}/"), io::empty())?;
                    self.packed.entries += 1;
                }
                if !out || wanted || self.ignore.has_exceptions() {
                    self.folder(&path, &relative)?;
                }
            } else if out {
            } else if kind.is_file() {
                self.file(&path, &relative)?;
            } else if kind.is_symlink() {
                let mut header = header(&path)?;
                header.set_size(0);
                self.tar.append_link(&mut header, &relative, fs::read_link(&path)?)?;
                self.packed.entries += 1;
            } else {
                self.packed.strange.push(relative);
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &str) -> io::Result<()> {
        let file = fs::File::open(path)?;
        let mut header = header(path)?;
        let size = header.size()?;
        // A file that grows or shrinks meanwhile must not spoil the archive.
        let padded = file.take(size).chain(io::repeat(0)).take(size);
        self.tar.append_data(&mut header, name, padded)?;
        self.packed.entries += 1;
        Ok(())
    }
}

/// Mode and time of the file; it belongs to root, as in any context.
fn header(path: &Path) -> io::Result<tar::Header> {
    let found = fs::symlink_metadata(path)?;
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&found);
    header.set_uid(0);
    header.set_gid(0);
    if found.is_dir() {
        header.set_size(0);
    }
    Ok(header)
}

/// The real place of `path` below `base`, if it is below `root`.
fn inside(root: &Path, base: &Path, what: &'static str, path: &str, hint: String) -> Result<PathBuf, ContextError> {
    if Path::new(path).is_absolute() {
        return Err(ContextError::Outside(what, path.to_owned()));
    }
    match fs::canonicalize(base.join(path)) {
        Ok(real) if real.starts_with(root) => Ok(real),
        Ok(_) => Err(ContextError::Outside(what, path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ContextError::Missing(what, path.to_owned(), hint))
        }
        Err(error) => Err(ContextError::Read(what, path.to_owned(), error)),
    }
}

fn names_of_dockerfiles(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.to_lowercase().contains("dockerfile") && !name.ends_with(".dockerignore"))
        .map(|name| format!("\"{name}\""))
        .take(5)
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(files: &[(&str, &str)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = place.path().join("w").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        place
    }

    fn packed(place: &tempfile::TempDir, folder: &str, file: &str) -> Vec<String> {
        let archive = place.path().join("context.tar");
        Context::find(&place.path().join("w"), folder, file).unwrap().pack(&archive).unwrap();
        let mut tar = tar::Archive::new(fs::File::open(&archive).unwrap());
        let names = tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        names.collect()
    }

    #[test]
    fn the_archive_has_what_is_not_left_out_and_always_the_dockerfile() {
        let place = place(&[
            ("Dockerfile", "FROM a"),
            (".dockerignore", "*\n!src\nsrc/b\n"),
            ("src/a", "a"),
            ("src/b", "b"),
            ("other/c", "c"),
        ]);
        assert_eq!(packed(&place, ".", "Dockerfile"), [".dockerignore", "Dockerfile", "src/", "src/a"]);
    }

    #[test]
    fn a_dockerfile_of_its_own_has_rules_of_its_own_and_may_lie_elsewhere_in_the_workspace() {
        let place = place(&[
            ("app/main", ""),
            ("app/notes.md", ""),
            ("app/.dockerignore", "main\n"),
            ("docker/app", "FROM a"),
            ("docker/app.dockerignore", "*.md\n"),
        ]);
        assert_eq!(packed(&place, "app", "../docker/app"), [".dockerignore", "main", ".slipway.Dockerfile"]);
    }

    #[test]
    fn what_leads_out_of_the_workspace_is_refused() {
        let place = place(&[("Dockerfile.prod", "FROM a"), ("a", "")]);
        let workspace = place.path().join("w");
        fs::write(place.path().join("secret"), "").unwrap();
        std::os::unix::fs::symlink(place.path(), workspace.join("link")).unwrap();
        let error = |folder: &str, file: &str| Context::find(&workspace, folder, file).unwrap_err().to_string();
        for (folder, file) in
            [("..", "a"), ("link", "secret"), ("/etc", "passwd"), (".", "../secret"), (".", "/etc/passwd")]
        {
            assert!(error(folder, file).contains("lies outside of the workspace"), "{folder} {file}");
        }
        let missing = error(".", "Dockerfile");
        assert!(
            missing.starts_with(
                "there is no Dockerfile \"Dockerfile\" in the context \".\"; there is \"Dockerfile.prod\""
            ),
            "{missing}"
        );
        assert!(error("none", "Dockerfile").starts_with("there is no context \"none\""));
        // A link in the context is packed as the link that it is.
        std::fs::rename(workspace.join("Dockerfile.prod"), workspace.join("Dockerfile")).unwrap();
        assert_eq!(packed(&place, ".", "Dockerfile"), ["Dockerfile", "a", "link"]);
    }
}
