/**
 * Capabilities by bit, as in linux/capability.h, those that every engine since docker 20.10 knows by name.
 * PERFMON, BPF and CHECKPOINT_RESTORE came later; SYS_ADMIN includes what they allow.
 */
const names = (
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE ' +
  'NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN ' +
  'SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE ' +
  'MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ'
).split(' ')

/**
 * What a node may be given: everything where the kernel lets this machine hand out everything, else what there is.
 * An engine asked for more than the bounding set refuses to start the container ("unable to apply caps").
 * @param processStatus /proc/self/status
 * @param lastCapability /proc/sys/kernel/cap_last_cap
 */
export function nodeCapabilities(processStatus: string, lastCapability: string): 'all' | readonly string[] {
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)/m.exec(processStatus)?.[1] ?? '0'}`)
  const everything = (1n << BigInt(Number.parseInt(lastCapability, 10) + 1)) - 1n
  if ((bounding & everything) === everything) return 'all'
  return names.filter((_, bit) => (bounding & (1n << BigInt(bit))) !== 0n)
}
