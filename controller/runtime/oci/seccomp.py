"""The default system call filter (OCI runtime-spec, config-linux.md#seccomp): equal in effect to containerd's and Docker's.

Everything that is not listed fails with EPERM. It is written for Linux 4.8 and later, where ptrace(2) cannot be used to get
around a filter.
"""

import re
from collections.abc import Collection
from functools import cache
from typing import Any, Final

_ALWAYS: Final = frozenset(
    re.findall(
        r"\w+",
        """
_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown
fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64
fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv
futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid
geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid getpriority
getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid
gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set
ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen
listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lsm_get_self_attr lsm_list_modules
lsm_set_self_attr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat
mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync
munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open
pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2
prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2
restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area
set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid
setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid
setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat
utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev ptrace process_vm_readv process_vm_writev
""",
    )
)
"""What every process may call."""

_SOCKET_FAMILIES_BELOW: Final = 38
"""socket(2) is allowed for AF_UNIX up to AF_CAIF (37): AF_ALG (38) opens the kernel's cryptography for no common use."""

_SOCKET_FAMILIES: Final = (39, 41, 42, 43, 44, 45)
"""AF_NFC, AF_KCM, AF_QIPCRTR, AF_SMC, AF_XDP, AF_MCTP; not AF_VSOCK (40), which reaches over network namespaces."""

_PERSONALITIES: Final = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Arguments of personality(2): PER_LINUX, PER_LINUX32, each also with UNAME26, and the question for the present one."""

_NEW_NAMESPACES: Final = 0x7E020000
"""Flags of clone(2) that make namespaces: NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWNS."""

_ENOSYS: Final = 38

_BY_CAPABILITY: Final = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr "
    "move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}
"""What a capability is good for only if the calls are allowed too."""

_ARM: Final = "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2"
_S390: Final = "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"

_BY_ARCHITECTURE: Final = {
    "386": "modify_ldt",
    "amd64": "arch_prctl modify_ldt",
    "arm": _ARM,
    "arm64": _ARM,
    "ppc64le": "swapcontext sync_file_range2",
    "riscv64": "riscv_flush_icache riscv_hwprobe",
    "s390x": _S390,
}

_ABIS: Final = {
    "amd64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "arm64": ("SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"),
    "loong64": ("SCMP_ARCH_LOONGARCH64",),
    "riscv64": ("SCMP_ARCH_RISCV64",),
    "s390x": ("SCMP_ARCH_S390", "SCMP_ARCH_S390X"),
}
"""Which binary interfaces a kernel of an architecture serves; for those not listed, its own alone."""


def default_profile(architecture: str, capabilities: Collection[str], *, x32: bool = True) -> dict[str, Any]:
    """`linux.seccomp` for a process that may have these capabilities. Shared between callers: not to be changed.

    Args:
        architecture: in Go's words.
        capabilities: the bounding set.
        x32: whether the kernel serves x32. Each binary interface costs some 6 ms of CPU at each start, in the compilation of
            the filter, so one that no program can use is left out.
    """
    return _profile(architecture, frozenset(capabilities).intersection(_BY_CAPABILITY), x32)


@cache
def _profile(architecture: str, capabilities: frozenset[str], x32: bool) -> dict[str, Any]:  # noqa: FBT001 - a cache key
    names = {*_ALWAYS, *_BY_ARCHITECTURE.get(architecture, "").split()}
    for capability in capabilities:
        names.update(_BY_CAPABILITY[capability].split())
    rules = [_allow(*sorted(names))]
    rules.append(_allow("socket", index=0, value=_SOCKET_FAMILIES_BELOW, op="SCMP_CMP_LT"))
    rules.extend(_allow("socket", index=0, value=family, op="SCMP_CMP_EQ") for family in _SOCKET_FAMILIES)
    rules.extend(_allow("personality", index=0, value=value, op="SCMP_CMP_EQ") for value in _PERSONALITIES)
    if "CAP_SYS_ADMIN" not in capabilities:
        # The argument with the flags has another place on s390. clone3(2) hides its flags behind a pointer, where no filter
        # sees them; ENOSYS makes C libraries fall back on clone(2).
        index = 1 if architecture == "s390x" else 0
        rules.append(_allow("clone", index=index, value=_NEW_NAMESPACES, op="SCMP_CMP_MASKED_EQ"))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": [abi for abi in _ABIS.get(architecture, ()) if x32 or abi != "SCMP_ARCH_X32"],
        "syscalls": rules,
    }


def _allow(*names: str, index: int = 0, value: int = 0, op: str = "") -> dict[str, Any]:
    rule: dict[str, Any] = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    if op:
        rule["args"] = [{"index": index, "value": value, "op": op}]
    return rule
