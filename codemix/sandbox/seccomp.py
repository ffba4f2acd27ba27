"""The kernel filter of the system calls that a program may not make.

Namespaces keep a program away from the host's files, processes and network, but not from the kernel.
The filter refuses new namespaces (they allow file systems without a size limit), memory that no limit
counts (anonymous files, System V shared memory), sockets that no network namespace covers (AF_VSOCK
reaches the host of a virtual machine), and interfaces with a history of errors that no solution needs.
It allows everything else, because the calls of an interpreter differ from release to release.

The filter is a program for the kernel's classic BPF machine: `struct sock_filter` of
linux/filter.h, on `struct seccomp_data` of linux/seccomp.h; see seccomp(2).
"""

from __future__ import annotations

import errno
import platform
import struct

from codemix.errors import UserError

# audit architecture (linux/audit.h), then the number of each call (asm/unistd.h).
_X86_64 = 0xC000003E
_AARCH64 = 0xC00000B7
_CALLS = {
  # name: (x86_64, aarch64)
  'mount': (165, 40),
  'umount2': (166, 39),
  'pivot_root': (155, 41),
  'unshare': (272, 97),
  'setns': (308, 268),
  'open_tree': (428, 428),
  'move_mount': (429, 429),
  'fsopen': (430, 430),
  'fsconfig': (431, 431),
  'fsmount': (432, 432),
  'fspick': (433, 433),
  'mount_setattr': (442, 442),
  'ptrace': (101, 117),
  'process_vm_readv': (310, 270),
  'process_vm_writev': (311, 271),
  'bpf': (321, 280),
  'perf_event_open': (298, 241),
  'userfaultfd': (323, 282),
  'io_uring_setup': (425, 425),
  'io_uring_enter': (426, 426),
  'io_uring_register': (427, 427),
  'add_key': (248, 217),
  'request_key': (249, 218),
  'keyctl': (250, 219),
  'memfd_create': (319, 279),
  'memfd_secret': (447, 447),
  'shmget': (29, 194),
  'semget': (64, 190),
  'msgget': (68, 186),
  'mq_open': (240, 180),
}
_CLONE = (56, 220)
_CLONE3 = (435, 435)
_SOCKET = (41, 198)
_MACHINES = {'x86_64': (0, _X86_64), 'aarch64': (1, _AARCH64)}

# CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET (linux/sched.h)
_NEW_NAMESPACES = 0x7E020000
_AF_UNIX = 1
_X32 = 0x40000000  # calls of the x32 ABI, which have other numbers than those above

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000


def seccomp_filter(machine: str = '') -> bytes:
  """The filter, as `bwrap --seccomp` reads it.

  Raises UserError if the call numbers of the machine are unknown.

  Args:
    machine: as in `platform.machine()`; '' for this one.
  """
  machine = machine or platform.machine()
  if machine not in _MACHINES:
    raise UserError(
      f'the sandbox knows no system calls of machine type {machine!r}, only of {", ".join(_MACHINES)}: '
      'run model-written code on one of these'
    )
  column, architecture = _MACHINES[machine]
  program = [
    (_LOAD, 0, 0, _ARCHITECTURE),
    (_EQUAL, 1, 0, architecture),
    (_RETURN, 0, 0, _KILL),
    (_LOAD, 0, 0, _NUMBER),
  ]
  if machine == 'x86_64':
    program += [(_AT_LEAST, 0, 1, _X32), _fail(errno.ENOSYS)]
  for numbers in _CALLS.values():
    program += [(_EQUAL, 0, 1, numbers[column]), _fail(errno.EPERM)]
  # The flags of clone3 are in memory, which a filter cannot read; without clone3 libraries use clone.
  program += [(_EQUAL, 0, 1, _CLONE3[column]), _fail(errno.ENOSYS)]
  program += [
    (_EQUAL, 0, 3, _CLONE[column]),
    (_LOAD, 0, 0, _FIRST_ARGUMENT),
    (_ANY_BIT, 0, 4, _NEW_NAMESPACES),
    _fail(errno.EPERM),
    (_EQUAL, 0, 2, _SOCKET[column]),
    (_LOAD, 0, 0, _FIRST_ARGUMENT),
    (_EQUAL, 0, 1, _AF_UNIX),
    (_RETURN, 0, 0, _ALLOW),
    _fail(errno.EAFNOSUPPORT),
  ]
  return b''.join(struct.pack('=HBBI', *instruction) for instruction in program)


def _fail(number: int) -> tuple[int, int, int, int]:
  return (_RETURN, 0, 0, _ERROR | number)
