// Lines of real logs of CRIU 4.2.1 on Linux 6.18: small programs that hold what a name says were dumped, or restored after
// something was changed. Left out is what tells nothing; paths and the name of the node are shortened.
export const REAL_LOGS = {
  bpf: `
(00.010536) Dumping task (pid: 23314 comm: prog)
(00.022879) 23314 fdinfo 3: pos:                0 flags:                2/0x1
(00.022894) Error (criu/files-ext.c:94): Can't dump file 3 of that type [600] (anon anon_inode:bpf-map)
(00.022916) Error (criu/cr-dump.c:1545): Dump files (pid: 23314) failed with -1
(00.024516) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  cpu: `
(00.002311) Error (criu/arch/x86/cpu.c:223): cpu: CPU instruction capabilities do not match run time
`,
  deleted: `
(00.006486) Dumping task (pid: 23022 comm: prog)
(00.008661) 23022 fdinfo 3: pos:         0x300000 flags:           100002/0x1
(00.008671) Dumping path for 3 fd via self 17 [/srv/big (deleted)]
(00.008676) Error (criu/files-reg.c:1031): Can't dump ghost file /srv/big of 3145728 size, increase limit
(00.008697) Error (criu/cr-dump.c:1545): Dump files (pid: 23022) failed with -1
(00.009123) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  extdgram: `
(00.004598) Dumping task (pid: 22896 comm: prog)
(00.006293) 22896 fdinfo 3: pos:                0 flags:             4002/0x1
(00.006321) unix: 	Dumping: ino 7702556 peer_ino 6880845 family    1 type    2 state  1 name null
(00.006336) 22896 fdinfo 4: pos:                0 flags:                2/0x1
(00.006395) 22896 fdinfo 5: pos:                0 flags:             4002/0x1
(00.015434) unix: 	Dumping extern: ino 6880845 peer_ino 0 family    1 type    2 state  1 name /run/systemd/journal/socket
(00.015442) unix: 	Runaway socket: ino 6880845 peer_ino 0 family    1 type    2 state  1 name /run/systemd/journal/socket
(00.015443) Error (criu/sk-unix.c:874): unix: External socket is used. Consider using --ext-unix-sk option.
(00.016900) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  extunix: `
(00.004859) Dumping task (pid: 22881 comm: prog)
(00.006481) 22881 fdinfo 3: pos:                0 flags:             4002/0x1
(00.006511) unix: 	Dumping: ino 7699363 peer_ino 7698880 family    1 type    1 state  1 name null
(00.006532) 22881 fdinfo 4: pos:                0 flags:                2/0x1
(00.006642) 22881 fdinfo 5: pos:                0 flags:             4002/0x1
(00.009930) unix: 	Dumping extern: ino 7698880 peer_ino 7699363 family    1 type    1 state  1 name /srv/ext.sock
(00.009938) unix: 	Runaway socket: ino 7698880 peer_ino 7699363 family    1 type    1 state  1 name /srv/ext.sock
(00.009939) Error (criu/sk-unix.c:874): unix: External socket is used. Consider using --ext-unix-sk option.
(00.010059) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  flock: `
(00.014095) Dumping task (pid: 22849 comm: prog)
(00.019480) lockinfo: 1:2 1 22849 00:2b:1196446 0 EOF
(00.019485) 22849 fdinfo 3: pos:                0 flags:           100002/0x1
(00.019494) Dumping path for 3 fd via self 17 [/srv/lock]
(00.019513) 22849 fdinfo 4: pos:                0 flags:                2/0x1
(00.019565) 22849 fdinfo 5: pos:                0 flags:             4002/0x1
(00.028725) Error (criu/file-lock.c:110): Some file locks are hold by dumping tasks! You can try --file-locks to dump them.
(00.031151) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  fuse: `
(00.006076) Dumping task (pid: 24927 comm: perl)
(00.007913) 24927 fdinfo 3: pos:                0 flags:           100002/0x1
(00.007918) Error (criu/files-ext.c:94): Can't dump file 3 of that type [20644] (chr 10:229)
(00.007940) Error (criu/cr-dump.c:1545): Dump files (pid: 24927) failed with -1
(00.008268) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  inotify: `
(00.006998) Dumping task (pid: 22799 comm: prog)
(00.008493) 22799 fdinfo 3: pos:                0 flags:                0/0
(00.008522) fsnotify: wd: wd 0x000001 s_dev 0x00002b i_ino         0x12418a mask 0x000fff
(00.008540) Warn  (criu/fsnotify.c:281): fsnotify: 	Handle 0x2b:0x12418a cannot be opened
(00.220092) Error (criu/fsnotify.c:284): fsnotify: 	Can't dump that handle
(00.220127) Error (criu/cr-dump.c:1545): Dump files (pid: 22799) failed with -1
(00.220712) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  iouring: `
(00.015276) Dumping task (pid: 22768 comm: prog)
pie: 22768: Error (criu/pie/parasite.c:588): send_fds failed (-22)
(00.017056) Error (criu/parasite-syscall.c:280): Can't retrieve FDs from socket
(00.017069) Error (compel/src/lib/infect-rpc.c:44): Message reply from daemon is trimmed (12/0)
(00.017081) Error (criu/cr-dump.c:1545): Dump files (pid: 22768) failed with -1
(00.017543) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  iouringmap: `
(00.029838) Dumping task (pid: 22783 comm: prog)
(00.030442) Error (criu/proc_parse.c:502): Unknown shit 600 (anon_inode:[io_uring])
(00.030448) Error (criu/proc_parse.c:738): Can't open 22783's mapfile link 7fb8ff61a000: No such device or address
(00.030454) Error (criu/cr-dump.c:1440): Collect mappings (pid: 22783) failed with -1
(00.030648) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  mntns: `
(00.004800) Error (criu/mount.c:1092): mnt: Mount 2579 ./var/lib/etcd (master_id: 1 shared_id: 28) has unreachable sharing. Try --enable-external-masters.
(00.004930) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  mptcp: `
(00.007909) Dumping task (pid: 22956 comm: prog)
(00.009654) 22956 fdinfo 3: pos:                0 flags:                2/0
(00.009663) Error (criu/sk-inet.c:137): inet: Unsupported proto 262 for socket 7588d6
(00.009665) Error (criu/sk-inet.c:139): inet: For Go programs, consider using "GODEBUG=multipathtcp=0" to disable MPTCP
(00.009686) Error (criu/cr-dump.c:1545): Dump files (pid: 22956) failed with -1
(00.010318) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  perf: `
(00.000979) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.005488) Dumping task (pid: 23054 comm: prog)
(00.007556) 23054 fdinfo 3: pos:                0 flags:                2/0
(00.007596) Error (criu/files-ext.c:94): Can't dump file 3 of that type [600] (anon anon_inode:[perf_event])
(00.007622) Error (criu/cr-dump.c:1545): Dump files (pid: 23054) failed with -1
(00.008048) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  pidfd: `
(00.004975) Dumping task (pid: 23117 comm: prog)
(00.006571) 23117 fdinfo 3: pos:                0 flags:                2/0x1
(00.006586) Error (criu/pidfd.c:97): pidfd: pidfd pid 1 is not a part of process tree..
(00.006605) Error (criu/cr-dump.c:1545): Dump files (pid: 23117) failed with -1
(00.007102) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  'pod-extdgram': `
(00.143370) Dumping task (pid: 44338 comm: prog)
(00.146519) 44338 fdinfo 3: pos:                0 flags:             4002/0x1
(00.146531) Error (criu/sk-unix.c:418): unix: Unix socket 8324481 without peer 6881507
(00.146547) Error (criu/cr-dump.c:1545): Dump files (pid: 44338) failed with -1
(00.339304) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  'pod-hostpath': `
(00.034036) Error (criu/mount.c:753): mnt: 5406:./h/hosts doesn't have a proper root mount
(00.178462) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  'pod-mptcp': `
(00.398053) Dumping task (pid: 43606 comm: prog)
(00.400059) 43606 fdinfo 3: pos:                0 flags:                2/0
(00.400064) Error (criu/sk-inet.c:137): inet: Unsupported proto 262 for socket 7eeb54
(00.400073) Error (criu/sk-inet.c:139): inet: For Go programs, consider using "GODEBUG=multipathtcp=0" to disable MPTCP
(00.400083) Error (criu/cr-dump.c:1545): Dump files (pid: 43606) failed with -1
(00.777477) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  'pod-nonroot': `
(00.023140) Dumping task (pid: 44339 comm: prog)
(00.037348) 44339 fdinfo 3: pos:              0x5 flags:           100002/0x1
(00.037359) Dumping path for 3 fd via self 20 [/w/data.txt]
(00.037412) 44339 fdinfo 4: pos:                0 flags:                2/0x1
(00.037476) 44339 fdinfo 5: pos:                0 flags:             4002/0x1
(00.039258) Error (criu/cr-dump.c:389): Can't get rlimit 0: Operation not permitted
(00.039261) Error (criu/cr-dump.c:1584): Dump core (pid: 44339) failed with -1
(00.369236) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  posixlock: `
(00.011853) Dumping task (pid: 22865 comm: prog)
(00.013523) lockinfo: 1:1 1 22865 00:2b:1196463 0 EOF
(00.013527) 22865 fdinfo 3: pos:                0 flags:           100002/0x1
(00.013536) Dumping path for 3 fd via self 17 [/srv/lock2]
(00.013556) 22865 fdinfo 4: pos:                0 flags:                2/0x1
(00.013614) 22865 fdinfo 5: pos:                0 flags:             4002/0x1
(00.016881) Error (criu/file-lock.c:110): Some file locks are hold by dumping tasks! You can try --file-locks to dump them.
(00.016999) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  ptrace: `
(00.002638) Warn  (compel/src/lib/infect.c:132): Unable to interrupt task: 23157 (Operation not permitted)
(00.002665) Error (compel/src/lib/infect.c:262): Unseizable non-zombie 23157 found, state t, err -1/10
(00.003002) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  'restore-broken': `
(00.001212) Error (criu/protobuf.c:93): Read 88 bytes while 3375 expected from /srv/r-trunc2/core-23837.img: No such file or directory
(00.001221) Error (criu/cr-restore.c:2331): Restoring FAILED.
`,
  'restore-gone': `
(00.115959)  23666: Error (criu/files-reg.c:2353): Can't open file srv/data.txt on restore: No such file or directory
(00.115962)  23666: Error (criu/files-reg.c:2267): Can't open file srv/data.txt: No such file or directory
(00.115964)  23666: Error (criu/files.c:1221): Unable to open fd=3 id=0x4
(00.118130) Error (criu/cr-restore.c:2331): Restoring FAILED.
(00.137098) Error (criu/cr-restore.c:1269): 23666 killed by signal 9: Killed
`,
  'restore-larger': `
(00.003647)  23666: Error (criu/files-reg.c:2175): File srv/data.txt has bad size 13 (expect 5)
(00.003652)  23666: Error (criu/files.c:1221): Unable to open fd=3 id=0x4
(00.003734) Error (criu/cr-restore.c:2331): Restoring FAILED.
`,
  'restore-noexe': `
(00.121886)  23666: Error (criu/files-reg.c:2353): Can't open file srv/prog on restore: No such file or directory
(00.121889)  23666: Error (criu/files-reg.c:2267): Can't open file srv/prog: No such file or directory
(00.121891)  23666: Error (criu/mem.c:1467): \`- Can't open vma
(00.129341) Error (criu/cr-restore.c:2331): Restoring FAILED.
`,
  'restore-noinv': `
(00.000924) Error (criu/protobuf.c:72): Unexpected EOF on (empty-image)
`,
  'restore-nopages': `
(00.004456) pie: 23791: Error (criu/pie/restorer.c:1907): Can't read pages data (-9)
(00.004463) pie: 23791: Error (criu/pie/restorer.c:2332): Restorer fail 23791
(00.004580) Error (criu/cr-restore.c:1265): 23791 exited, status=1
(00.004590) Error (criu/cr-restore.c:2331): Restoring FAILED.
`,
  'restore-otherexe': `
(00.002289)  23666: Error (criu/files-reg.c:2175): File srv/prog has bad size 3601060 (expect 3601058)
(00.002293)  23666: Error (criu/mem.c:1467): \`- Can't open vma
(00.002314) Error (criu/cr-restore.c:2331): Restoring FAILED.
`,
  'restore-pid': `
(00.001607) Error (criu/cr-restore.c:1237): Can't fork for 23666: File exists
(00.001631) Error (criu/cr-restore.c:2331): Restoring FAILED.
`,
  'restore-portused': `
(00.002334)  23679: Error (criu/sk-inet.c:1059): inet: Can't bind inet socket (id 4): Address already in use
(00.002346)  23679: Error (criu/files.c:1221): Unable to open fd=3 id=0x4
(00.002369) Error (criu/cr-restore.c:2331): Restoring FAILED.
(00.002799) Error (criu/cr-restore.c:1269): 23679 killed by signal 9: Killed
`,
  sysvshm: `
(00.006152) Dumping task (pid: 23133 comm: prog)
(00.006871) 0x7facb9c0b000-0x7facb9c0c000 (4K) prot 0x3 flags 0x21 fdflags 02 st 0x501 off 0 reg as sysv  shmid: 0
(00.007757) 23133 fdinfo 4: pos:                0 flags:                2/0x1
(00.007891) 23133 fdinfo 5: pos:                0 flags:             4002/0x1
(00.011781) Error (criu/cr-dump.c:478): Task 23133 with SysVIPC shmem map @7facb9c0b000 doesn't live in IPC ns
(00.011783) Error (criu/cr-dump.c:1621): Dump mappings (pid: 23133) failed with -1
(00.011940) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  tcp: `
(00.005009) Dumping task (pid: 23646 comm: prog)
(00.006465) 23646 fdinfo 3: pos:                0 flags:             4002/0x1
(00.006513) 23646 fdinfo 4: pos:                0 flags:             4002/0x1
(00.006518) Error (criu/sk-inet.c:200): inet: Connected TCP socket, consider using --tcp-established option.
(00.006539) Error (criu/cr-dump.c:1545): Dump files (pid: 23646) failed with -1
(00.006906) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  tty: `
(00.034100) Dumping task (pid: 23299 comm: prog)
(00.036708) 23299 fdinfo 3: pos:                0 flags:           104002/0x1
(00.036721) tty: Dumping tty 17 with id 0x5
(00.036724) Dumping path for 3 fd via self 17 [/dev/pts/0]
(00.036881) 23299 fdinfo 4: pos:                0 flags:                2/0x1
(00.036975) 23299 fdinfo 5: pos:                0 flags:             4002/0x1
(00.040595) Error (criu/tty.c:410): tty: Found slave peer index 0 without correspond master peer
(00.040807) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  userfault: `
(00.005954) Dumping task (pid: 23085 comm: prog)
(00.007742) 23085 fdinfo 3: pos:                0 flags:                0/0
(00.007753) Error (criu/files-ext.c:94): Can't dump file 3 of that type [600] (anon anon_inode:[userfaultfd])
(00.007774) Error (criu/cr-dump.c:1545): Dump files (pid: 23085) failed with -1
(00.008226) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
  vsock: `
(00.004935) Dumping task (pid: 22972 comm: prog)
(00.006559) 22972 fdinfo 3: pos:                0 flags:                2/0
(00.006565) Error (criu/sockets.c:767): sockets: BUG! Unknown socket collected (family 40)
(00.006585) Error (criu/cr-dump.c:1545): Dump files (pid: 22972) failed with -1
(00.007627) Error (criu/cr-dump.c:1975): Dumping FAILED.
`,
} as const
