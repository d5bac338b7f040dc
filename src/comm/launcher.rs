//! What started this process, read from the variables that launchers set.

use std::collections::HashSet;

/// The launcher's word on this process, before MPI is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launcher {
    /// Its name, absent when the process was started by hand.
    pub name: Option<&'static str>,
    /// The rank it gave this process.
    pub rank: Option<usize>,
    /// How many ranks it started.
    pub size: Option<usize>,
    /// How many of them on this node.
    pub local_size: Option<usize>,
    /// Cores that this process may run on.
    pub cores: usize,
    /// Cores of the node that the job may use, bound or not.
    pub node_cores: usize,
    /// What happens to the others when a rank dies.
    pub survival: Survival,
}

/// What a launcher does when a rank dies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Survival {
    /// It ends the others.
    #[default]
    Ends,
    /// It lets them live, and nothing tells them: Open MPI 4 with its recovery flag.
    Recovery,
    /// It lets them live, and MPI knows of the failure: Open MPI 5 with ULFM.
    Ulfm,
}

impl Survival {
    /// Whether the other ranks live on. Then `MPI_Finalize` may wait for the dead rank for ever, and `MPI_Abort` may end
    /// nobody else (`docs/adr/0017-heartbeats.md`).
    pub fn lets_live(self) -> bool {
        self != Self::Ends
    }
}

/// The variables of each launcher: its name, rank, size and ranks on this node.
const LAUNCHERS: [(&str, &str, &str, &str); 4] = [
    ("mpirun (Open MPI)", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("mpiexec (MPICH)", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"),
    ("mpirun (MVAPICH)", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE"),
    ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE"),
];

impl Launcher {
    /// Reads the variables through `variable`; cores are given by the caller.
    pub fn read(variable: impl Fn(&str) -> Option<String>, cores: usize, node_cores: usize) -> Self {
        // "20(x2)" is Slurm's way to say 20 on each of two nodes.
        let number = |name: &str| {
            let text = variable(name)?;
            text.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
        };
        let survival = survival(&variable);
        for (name, rank, size, local_size) in LAUNCHERS {
            // A batch script has SLURM_PROCID too, but no step: only srun starts steps.
            let step = name != "srun" || variable("SLURM_STEP_ID").is_some();
            if let (Some(rank), true) = (number(rank), step) {
                let (size, local_size) = (number(size), number(local_size));
                return Self { name: Some(name), rank: Some(rank), size, local_size, cores, node_cores, survival };
            }
        }
        Self { cores, node_cores, ..Self::default() }
    }

    /// This process's launcher.
    pub fn detect() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::read(|name| std::env::var(name).ok(), cores, node_cores().max(cores))
    }

    /// Whether there are certainly more ranks on this node than cores for them.
    pub fn oversubscribed(&self) -> bool {
        let ranks = self.local_size.or(self.size).unwrap_or(1);
        // A mask of several cores is shared by all ranks of the node; a mask of one is this rank's own,
        // unless the whole node has too few.
        let shared = if self.cores > 1 { self.cores } else { self.node_cores };
        ranks > shared
    }

    /// Compares the launcher's number of ranks with MPI's.
    ///
    /// # Errors
    /// When every process became a world of its own: what to do about it.
    pub fn check_world(&self, mpi_size: usize) -> Result<(), String> {
        match (self.name, self.size) {
            (Some(name), Some(size)) if size > 1 && mpi_size == 1 => Err(format!(
                "{name} started {size} processes, but MPI sees {size} worlds of one rank each; {}",
                match name {
                    "srun" => "use `srun --mpi=pmix` with an MPI library built for it, or mpirun inside the allocation",
                    _ => "start with the mpirun of the MPI library this program was built for (see `goai-rs doctor`)",
                }
            )),
            _ => Ok(()),
        }
    }
}

/// What the launcher's flags make of a rank's death. mpirun hands its parameters to the ranks as variables:
/// `--mca orte_enable_recovery 1` and `--enable-recovery` of Open MPI 4, `--with-ft ulfm` of Open MPI 5. Each version is
/// blind to the other's, which may stand in somebody's profile.
fn survival(variable: &impl Fn(&str) -> Option<String>) -> Survival {
    let set = |name: &str| {
        let text = variable(name).unwrap_or_default().to_ascii_lowercase();
        matches!(text.as_str(), "1" | "true" | "yes" | "t" | "y" | "enabled") || text.parse().is_ok_and(|n: i64| n != 0)
    };
    match variable("PRTE_LAUNCHED").is_some() {
        true if set("OMPI_MCA_mpi_ft_enable") => Survival::Ulfm,
        false if variable("OMPI_MCA_orte_hnp_uri").is_some() && set("OMPI_MCA_orte_enable_recovery") => {
            Survival::Recovery
        }
        _ => Survival::Ends,
    }
}

/// Cores that are online, whatever this process is bound to, within the container's quota.
fn node_cores() -> usize {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let online = count_cores(&read("/sys/devices/system/cpu/online"));
    let quota = read("/sys/fs/cgroup/cpu.max");
    let mut words = quota.split_whitespace().map(str::parse::<f64>);
    match (words.next(), words.next()) {
        (Some(Ok(quota)), Some(Ok(period))) if period > 0.0 => online.min((quota / period).ceil() as usize).max(1),
        _ => online,
    }
}

/// Counts the cores of a list like `0-3,8`.
fn count_cores(list: &str) -> usize {
    let mut cores = HashSet::new();
    for part in list.trim().split(',') {
        let mut ends = part.split('-').map(str::parse::<usize>);
        if let Some(Ok(first)) = ends.next() {
            let last = ends.next().and_then(Result::ok).unwrap_or(first);
            cores.extend(first..=last);
        }
    }
    cores.len()
}

/// Whether a program built for one MPI library may run on another.
///
/// # Errors
/// The reason and the cure, when it may not.
pub fn compatible(built_for: &str, loaded: &str) -> Result<(), String> {
    let parse = |text: &str| {
        let family = ["Open MPI", "MPICH", "Intel", "MVAPICH"].into_iter().find(|f| text.contains(f));
        let digits = text.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty());
        (family, digits.and_then(|word| word.parse::<u32>().ok()))
    };
    let refuse = || {
        Err(format!(
            "this program was built for {built_for} and started with {loaded}; load the matching module, or run `make` again under this one"
        ))
    };
    match (parse(built_for), parse(loaded)) {
        ((Some(built), _), (Some(run), _)) if built != run => refuse(),
        ((Some("Open MPI"), Some(built)), (_, Some(run))) if run < built => refuse(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launcher(variables: &[(&str, &str)], cores: usize, node_cores: usize) -> Launcher {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
        Launcher::read(find, cores, node_cores)
    }

    #[test]
    fn launchers_are_told_apart() {
        let open_mpi =
            [("OMPI_COMM_WORLD_RANK", "3"), ("OMPI_COMM_WORLD_SIZE", "20"), ("OMPI_COMM_WORLD_LOCAL_SIZE", "10")];
        let found = launcher(&open_mpi, 2, 2);
        assert_eq!((found.rank, found.size, found.local_size), (Some(3), Some(20), Some(10)));
        let step = [
            ("SLURM_PROCID", "1"),
            ("SLURM_STEP_ID", "0"),
            ("SLURM_STEP_NUM_TASKS", "4"),
            ("SLURM_STEP_TASKS_PER_NODE", "2(x2)"),
        ];
        assert_eq!(launcher(&step, 2, 2).name, Some("srun"));
        assert_eq!(launcher(&step, 2, 2).local_size, Some(2));
        // A batch script is no rank.
        assert_eq!(launcher(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "20")], 2, 2).name, None);
    }

    #[test]
    fn what_survives_is_read_from_the_flags_of_the_running_version() {
        let (four, five) = (("OMPI_MCA_orte_hnp_uri", "1.0;tcp://1.2.3.4:5"), ("PRTE_LAUNCHED", "1"));
        let (recovery, ulfm) = (("OMPI_MCA_orte_enable_recovery", "1"), ("OMPI_MCA_mpi_ft_enable", "true"));
        let rank = ("OMPI_COMM_WORLD_RANK", "0");
        for (variables, expected) in [
            (vec![rank, four], Survival::Ends),
            (vec![rank, four, recovery], Survival::Recovery),
            (vec![rank, four, ("OMPI_MCA_orte_enable_recovery", "0")], Survival::Ends),
            (vec![rank, four, ulfm], Survival::Ends),
            (vec![rank, five], Survival::Ends),
            (vec![rank, five, recovery], Survival::Ends),
            (vec![rank, five, ulfm], Survival::Ulfm),
            // No rank of a launcher at all.
            (vec![recovery, ulfm], Survival::Ends),
        ] {
            assert_eq!(launcher(&variables, 2, 2).survival, expected, "{variables:?}");
        }
    }

    #[test]
    fn oversubscription_is_seen_through_binding() {
        let ranks = |n: &'static str| {
            [("OMPI_COMM_WORLD_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", n), ("OMPI_COMM_WORLD_LOCAL_SIZE", n)]
        };
        assert!(!launcher(&ranks("2"), 1, 2).oversubscribed(), "two ranks bound to a core each");
        assert!(!launcher(&ranks("2"), 2, 2).oversubscribed());
        assert!(launcher(&ranks("20"), 2, 2).oversubscribed());
        assert!(launcher(&ranks("4"), 1, 2).oversubscribed());
        assert!(launcher(&ranks("4"), 2, 64).oversubscribed(), "a mask of two cores shared by four ranks");
    }

    #[test]
    fn singletons_are_refused_with_a_cure() {
        let step = [("SLURM_PROCID", "1"), ("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "20")];
        assert!(launcher(&step, 2, 2).check_world(1).unwrap_err().contains("--mpi=pmix"));
        assert!(launcher(&step, 2, 2).check_world(20).is_ok());
        assert!(launcher(&[("PMI_RANK", "0"), ("PMI_SIZE", "4")], 2, 2).check_world(1).is_err());
        assert!(launcher(&[], 2, 2).check_world(1).is_ok());
    }

    #[test]
    fn only_a_newer_open_mpi_may_replace_the_one_built_for() {
        for (built, loaded, allowed) in [
            ("Open MPI 4.1.4", "Open MPI v4.1.4", true),
            ("Open MPI 4.1.4", "Open MPI v5.0.11", true),
            ("Open MPI 5.0.11", "Open MPI v4.1.4", false),
            ("Open MPI 4.1.4", "MPICH Version:      4.3.2", false),
            ("MPICH 4.0", "MPICH Version:      4.3.2", true),
        ] {
            assert_eq!(compatible(built, loaded).is_ok(), allowed, "{built} on {loaded}");
        }
    }

    #[test]
    fn core_lists_are_counted() {
        assert_eq!((count_cores("0-3,8\n"), count_cores("0"), count_cores("")), (5, 1, 0));
    }
}
