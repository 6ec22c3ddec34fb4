//! The loader that opens files; the compiler opens none.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use weir_compiler::Loader;

/// The largest file that is read.
pub const MAX_BYTES: u64 = 256 << 20;

/// Files by their paths, relative ones from where the file stands that names them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

impl Files {
    /// Reads a policy itself, or any other text by its own path.
    pub fn read(path: &Path) -> Result<String, String> {
        let shown = path.display();
        let file = File::open(path).map_err(|error| format!("cannot open `{shown}`: {}", words(&error)))?;
        let metadata =
            file.metadata().map_err(|error| format!("cannot read `{shown}`: {}", words(&error)))?;
        if metadata.is_dir() {
            return Err(format!("`{shown}` is a directory"));
        }
        let mut bytes = Vec::new();
        // Pipes and devices tell no length: the limit holds for what is really read.
        let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("cannot read `{shown}`: {}", words(&error)))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(format!("`{shown}` is larger than 256 MiB"));
        }
        String::from_utf8(bytes).map_err(|error| {
            let line =
                error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count()
                    + 1;
            format!("`{shown}` is not UTF-8, in line {line}")
        })
    }
}

impl Loader for Files {
    fn load(&self, from: &str, path: &str) -> Result<(String, String), String> {
        let path = beside(from, path);
        let text = Self::read(&path)?;
        Ok((path.display().to_string(), text))
    }
}

fn beside(from: &str, path: &str) -> PathBuf {
    Path::new(from).parent().unwrap_or(Path::new("")).join(path)
}

/// The kernel's words without the number.
fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_file_that_names_them() {
        assert_eq!(beside("etc/edge.weir", "sets/bogons.txt"), Path::new("etc/sets/bogons.txt"));
        assert_eq!(beside("edge.weir", "bogons.txt"), Path::new("bogons.txt"));
        assert_eq!(beside("etc/edge.weir", "/srv/bogons.txt"), Path::new("/srv/bogons.txt"));
    }

    #[test]
    fn refusals_say_which_and_why() {
        let error = Files.load("/nowhere/edge.weir", "set.txt").unwrap_err();
        assert_eq!(error, "cannot open `/nowhere/set.txt`: no such file or directory");
        assert_eq!(Files.load("/x", "proc").unwrap_err(), "`/proc` is a directory");
    }
}
