//! A file system of its own for a member's data: one in memory, which can be made full, read-only, larger and smaller. Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;
use rustix::fs::statvfs;

/// Mounted below a path; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Whether file systems can be mounted here; the error is why not.
    ///
    /// # Errors
    /// They cannot.
    pub fn possible() -> Result<(), String> {
        if geteuid().is_root() { Ok(()) } else { Err("mounting a file system needs root".to_owned()) }
    }

    /// Mounts one of so many mebibytes.
    ///
    /// # Errors
    /// This user may not, or what `mount` says.
    pub fn mount(path: PathBuf, mebibytes: u32) -> Result<Self, String> {
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let options = format!("size={mebibytes}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self { path }),
            other => Err(format!("a file system cannot be mounted here ({other:?}): it needs root")),
        }
    }

    /// Mounts it anew, otherwise: `ro`, `rw`, `size=..`.
    pub fn remount(&self, how: &str) {
        assert!(self.try_remount(how), "remount,{how}");
    }

    fn try_remount(&self, how: &str) -> bool {
        let mounted = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(&self.path).output().expect("mount runs");
        mounted.status.success()
    }

    /// Makes it so small that this many bytes are free, or a little more: whoever writes meanwhile has his place. Whether that was done.
    #[must_use]
    pub fn shrink_to(&self, free: u64) -> bool {
        (0..20).any(|more| {
            let room = statvfs(&self.path).expect("it is mounted");
            let used = (room.f_blocks - room.f_bfree) * room.f_frsize;
            self.try_remount(&format!("size={}", used + free + more * (64 << 10)))
        })
    }

    /// Gives it so many mebibytes again.
    pub fn grow_to(&self, mebibytes: u32) {
        self.remount(&format!("size={mebibytes}m"));
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Leaves so much free, in bytes; 0: not one.
    pub fn fill(&self, leave: u64) {
        let room = statvfs(&self.path).expect("it is mounted");
        let free = room.f_bavail * room.f_frsize;
        let mut file = fs::File::options().create(true).append(true).open(self.ballast()).expect("a file");
        // Until it refuses, if nothing is to be left.
        let chunk = vec![0_u8; 64 << 10];
        let mut wanted = if leave == 0 { u64::MAX } else { free.saturating_sub(leave) };
        while wanted > 0 {
            match std::io::Write::write(&mut file, &chunk[..chunk.len().min(usize::try_from(wanted).unwrap_or(usize::MAX))]) {
                Ok(0) | Err(_) => break,
                Ok(written) => wanted -= written as u64,
            }
        }
    }

    /// Takes back what [`Self::fill`] has filled.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("removed");
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
