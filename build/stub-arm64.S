/*
 * Entry stub of the self-contained executable, arm64: step by step that of stub-x64.S, which has the reasons.
 * build/pack.ts fills in the words at `cfg`. The bytes are checked in as stub-arm64.bin; to make them anew:
 *     aarch64-linux-gnu-as stub-arm64.S -o stub.o && aarch64-linux-gnu-objcopy -O binary -j .text stub.o stub-arm64.bin
 */
        .set CFG_LIBS, 0
        .set CFG_PHDR, 8
        .set CFG_PHNUM, 16
        .set CFG_BASE, 24
        .set CFG_LDENTRY, 32
        .set CFG_ENTRY, 40
        .set CFG_DEBUG, 48
        .set LIB_NAME, 0
        .set LIB_ADDR, 8
        .set LIB_SIZE, 16
        .set LIB_DIGITS, 24
        .set LIB_FD, 32
        .set LIB_SEGMENTS, 40
        .set LIB_IS_PLACED, 48
        .set LIB__SIZE, 56
        .set SEGMENT_ADDR, 0
        .set SEGMENT_SIZE, 8
        .set SEGMENT_OFFSET, 16
        .set SEGMENT__SIZE, 24
        .set PATH_SIZE, 14
        .set MAKING, 254
        .set OPENING, 255
        .text
        .globl _start
_start: hint    #36                     // bti j: a jump may lead here
        mov     x19, sp                 // kernel's block: argc, argv.., 0, envp.., 0, auxv
        adr     x20, cfg
        ldr     x21, [x20, #CFG_LIBS]
        // SIGXFSZ is ignored meanwhile; what it did before is kept at [sp]
        sub     sp, sp, #64             // two of struct sigaction
        mov     x9, #1                  // SIG_IGN
        stp     x9, xzr, [sp, #32]
        stp     xzr, xzr, [sp, #48]
        add     x1, sp, #32
        mov     x2, sp
        bl      sigxfsz
/* 1. one memfd per library, with the headers that the loader reads; its number goes into the library's DT_NEEDED string */
1:      ldr     x0, [x21, #LIB_NAME]
        cbz     x0, 5f
        mov     w26, #MAKING
        mov     x1, #9                  // MFD_CLOEXEC | MFD_NOEXEC_SEAL
        mov     x8, #279                // memfd_create
        svc     #0
        tbz     x0, #63, 14f
        ldr     x0, [x21, #LIB_NAME]
        mov     x1, #1                  // MFD_CLOEXEC
        svc     #0
        tbnz    x0, #63, fail
14:     mov     x22, x0
        str     x0, [x21, #LIB_FD]
        ldr     x23, [x21, #LIB_ADDR]
        ldr     x24, [x21, #LIB_SIZE]
2:      mov     x0, x22
        mov     x1, x23
        mov     x2, x24
        mov     x8, #64                 // write
        svc     #0
        cmp     x0, #0
        b.le    fail
        add     x23, x23, x0
        subs    x24, x24, x0
        b.ne    2b
        // decimal digits of the fd, from right to left where the new sigaction was
        add     x9, sp, #64
        mov     x10, x9
        mov     x11, #10
3:      udiv    x12, x22, x11
        msub    x13, x12, x11, x22
        add     x13, x13, #'0'
        strb    w13, [x9, #-1]!
        mov     x22, x12
        cbnz    x22, 3b
        ldr     x14, [x21, #LIB_DIGITS]
4:      ldrb    w13, [x9], #1
        strb    w13, [x14], #1
        cmp     x9, x10
        b.ne    4b
        strb    wzr, [x14]
        // what the loader will open is opened here first
        mov     w26, #OPENING
        mov     x0, #-100               // AT_FDCWD
        ldr     x1, [x21, #LIB_DIGITS]
        sub     x1, x1, #PATH_SIZE
        mov     x2, #0x80000            // O_RDONLY | O_CLOEXEC
        mov     x8, #56                 // openat
        svc     #0
        tbnz    x0, #63, fail
        mov     x8, #57                 // close
        svc     #0
        add     x21, x21, #LIB__SIZE
        b       1b
5:      mov     x1, sp
        mov     x2, #0
        bl      sigxfsz
/* a restore that is given no cache and no image is over before compilers pay: x22 is what the runtime is told of them */
        adr     x22, no_ftl
        ldr     w9, [x19]               // argc
        add     x10, x19, #16           // behind argv[0]
        movz    w13, #0x6163            // "cach"
        movk    w13, #0x6863, lsl #16
        movz    w14, #0x7562            // "buil"
        movk    w14, #0x6c69, lsl #16
        movz    w15, #0x6d69            // "imag"
        movk    w15, #0x6761, lsl #16
        cmp     w9, #2
        b.lo    42f
        ldr     x11, [x10]
        ldrb    w12, [x11]
        cmp     w12, #'-'
        b.ne    45f                     // a command
40:     ldr     x11, [x10], #8
        cbz     x11, 42f
41:     ldr     w12, [x11]
        cmp     w12, w13
        b.eq    45f
        cmp     w12, w14
        b.eq    45f
        cmp     w12, w15
        b.eq    45f
        ldrb    w12, [x11], #1
        cmp     w12, #'-'
        b.eq    41b
        b       40b
42:     ldr     x13, =0x484341435f424e43 // "CNB_CACH"
        ldr     x16, =0x4c4955425f424e43 // "CNB_BUIL"
        ldr     x14, =0x5f43534a5f4e5542 // "BUN_JSC_"
        movz    w15, #0x7375            // "useJ", as the user wants it, or a restore that begins again
        movk    w15, #0x4a65, lsl #16
        add     x10, x19, #16
        add     x10, x10, x9, lsl #3    // envp
43:     ldr     x11, [x10], #8
        cbz     x11, 44f
        ldr     x12, [x11]
        cmp     x12, x13
        b.eq    45f
        cmp     x12, x16
        b.eq    45f
        cmp     x12, x14
        b.ne    43b
        ldr     w12, [x11, #8]
        cmp     w12, w15
        b.ne    43b
        b       45f
44:     adr     x22, no_jit
45:
/* 2. LD_* is hidden; the auxiliary vector, as the kernel would have made it with PT_INTERP */
        mov     w3, #'L'
        mov     w4, #1
        bl      rename
7:      ldr     x0, [x1]                // a_type
        cmp     x0, #3                  // AT_PHDR
        b.ne    8f
        ldr     x2, [x20, #CFG_PHDR]
        str     x2, [x1, #8]
8:      cmp     x0, #5                  // AT_PHNUM
        b.ne    9f
        ldr     x2, [x20, #CFG_PHNUM]
        str     x2, [x1, #8]
9:      cmp     x0, #7                  // AT_BASE
        b.ne    10f
        ldr     x2, [x20, #CFG_BASE]
        str     x2, [x1, #8]
10:     cmp     x0, #9                  // AT_ENTRY
        b.ne    11f
        adr     x2, entered
        str     x2, [x1, #8]
11:     add     x1, x1, #16
        cbnz    x0, 7b
/* 3. two settings for the runtime, behind the user's, which count more: argc, argv and envp move down to make room */
        sub     sp, x19, #16
        mov     x10, sp
        ldr     x9, [x19]               // argc
        add     x9, x9, #2
37:     ldr     x11, [x19], #8
        str     x11, [x10], #8
        subs    x9, x9, #1
        b.ne    37b
38:     ldr     x11, [x19], #8
        cbz     x11, 39f
        str     x11, [x10], #8
        b       38b
39:     adr     x12, no_spare           // two of them also keep the stack aligned
        stp     x22, x12, [x10]
        // on to the loader
        ldr     x16, [x20, #CFG_LDENTRY]
        mov     x0, #0
        mov     x29, #0
        mov     x30, #0
        br      x16
/* 4. the loader is done: LD_* is shown again, the memfds closed, the program started (x0 = _dl_fini must survive) */
entered: hint   #36
        mov     x25, x0
        mov     x19, sp
        adr     x20, cfg
        mov     w3, #1
        mov     w4, #'L'
        bl      rename
        ldr     x21, [x20, #CFG_LIBS]
12:     ldr     x0, [x21, #LIB_NAME]
        cbz     x0, 13f
        ldr     x0, [x21, #LIB_FD]
        mov     x8, #57                 // close
        svc     #0
        add     x21, x21, #LIB__SIZE
        b       12b
        // link_map.l_name of the libraries gets their plain names
13:     ldr     x9, [x20, #CFG_DEBUG]   // -> DT_DEBUG's value in .dynamic
        ldr     x9, [x9]                // struct r_debug
        cbz     x9, 16f
        ldr     x9, [x9, #8]            // r_map
        ldr     x10, [x20, #CFG_LIBS]
        ldr     x11, =0x65732f636f72702f // "/proc/se"
15:     cbz     x9, 16f
        ldr     x12, [x9, #8]           // l_name
        ldrb    w13, [x12]
        cbz     w13, 17f
        ldr     x13, [x12]
        cmp     x13, x11
        b.ne    17f
        ldr     x13, [x10, #LIB_NAME]
        str     x13, [x9, #8]
        add     x10, x10, #LIB__SIZE
17:     ldr     x9, [x9, #24]           // l_next
        b       15b
16:     ldr     x9, [x20, #CFG_LIBS]
        str     xzr, [x9, #LIB_NAME]    // from here on no file is ours
        ldr     x16, [x20, #CFG_ENTRY]
        mov     x0, x25
        mov     x30, #0
        br      x16
/*
 * The loader's calls of mmap come here: of a memfd they get what the kernel has mapped already, of other files nothing. x16 is
 * where to go on.
 */
mmap:   sub     sp, sp, #96
        stp     x1, x2, [sp]
        stp     x3, x4, [sp, #16]
        stp     x5, x9, [sp, #32]
        stp     x10, x11, [sp, #48]
        stp     x12, x13, [sp, #64]
        adr     x9, cfg
        tbnz    w4, #31, 32f            // no file
        // which one: e_shoff of a library, which nobody needs, leads to its row
        mov     x12, x0
        mov     w0, w4
        add     x1, sp, #80
        mov     x2, #8
        mov     x3, #40
        mov     x8, #67                 // pread64
        svc     #0
        cmp     x0, #8
        b.ne    29f
        mov     x0, x12
        ldp     x1, x2, [sp]
        ldr     x3, [sp, #16]
        ldr     x13, [sp, #80]
        ldr     x10, [x9, #CFG_LIBS]
21:     ldr     x11, [x10, #LIB_NAME]
        cbz     x11, 29f
        cmp     x10, x13
        b.eq    22f
        add     x10, x10, #LIB__SIZE
        b       21b
22:     ldr     x11, [x10, #LIB_IS_PLACED]
        cbnz    x11, 28f
        tbnz    w3, #4, 24f             // MAP_FIXED
        mov     x0, #0
        mov     x2, #0                  // PROT_NONE: the range alone
        mov     x3, #0x22               // MAP_PRIVATE | MAP_ANONYMOUS
        mov     x4, #-1
        mov     x5, #0
        mov     x8, #222                // mmap
        svc     #0
        cmn     x0, #1, lsl #12
        b.hi    30f
        mov     x12, x0
24:     mov     x11, #1
        str     x11, [x10, #LIB_IS_PLACED]
        ldr     x13, [x10, #LIB_SEGMENTS]
25:     ldr     x1, [x13, #SEGMENT_SIZE]
        cbz     x1, 27f
        ldr     x0, [x13, #SEGMENT_ADDR]
        mov     x2, x1
        mov     x3, #3                  // MREMAP_MAYMOVE | MREMAP_FIXED
        ldr     x4, [x13, #SEGMENT_OFFSET]
        add     x4, x4, x12
        mov     x8, #216                // mremap
        svc     #0
        cmn     x0, #1, lsl #12
        b.hi    30f
        add     x13, x13, #SEGMENT__SIZE
        b       25b
28:     mov     x8, #226                // mprotect
        svc     #0
        cbnz    x0, 30f
27:     mov     x0, x12
        b       30f
32:     mov     x8, #222
        svc     #0
        b       30f
29:     mov     x0, #-13                // another file: EACCES
30:     ldp     x12, x13, [sp, #64]
        ldp     x10, x11, [sp, #48]
        ldp     x5, x9, [sp, #32]
        ldp     x3, x4, [sp, #16]
        ldp     x1, x2, [sp]
        add     sp, sp, #96
        br      x16
/* rt_sigaction(SIGXFSZ, x1, x2) */
sigxfsz:
        mov     x0, #25
        mov     x3, #8
        mov     x8, #134
        svc     #0
        ret
/* the first letter of variables "?D_" from w3 to w4, in the kernel's block at x19; x1 is then the auxiliary vector */
rename: ldr     x0, [x19]               // argc
        add     x1, x19, x0, lsl #3
        add     x1, x1, #16             // envp
18:     ldr     x0, [x1], #8
        cbz     x0, 19f
        ldrb    w2, [x0]
        cmp     w2, w3
        b.ne    18b
        ldrb    w2, [x0, #1]
        cmp     w2, #'D'
        b.ne    18b
        ldrb    w2, [x0, #2]
        cmp     w2, #'_'
        b.ne    18b
        strb    w4, [x0]
        b       18b
19:     ret
/* x0 is the error, w26 what was under way */
fail:   neg     w0, w0
        adr     x1, messages
33:     ldrb    w3, [x1], #1
        ldrb    w2, [x1], #1
        cmp     w3, w0
        b.eq    34f
        cmp     w3, w26
        b.eq    34f
        add     x1, x1, x2
        b       33b
34:     mov     x0, #2
        mov     x8, #64                 // write
        svc     #0
        mov     x0, #127
        mov     x8, #94                 // exit_group
        svc     #0
        .ltorg
        .macro  message error, text
        .byte   \error, 36f - 35f
35:     .ascii  "ERROR: restorer cannot start: \text\n"
36:
        .endm
messages:
        message 24, "this process may not open any more files (see ulimit -n)"
        message 23, "this machine may not open any more files (see fs.file-max)"
        message 12, "there is not enough memory"
        message MAKING, "no memory file can be made (memfd_create is refused, or ulimit -f allows no file of 4 KiB)"
        message OPENING, "/proc/self/fd cannot be read (is /proc mounted?)"
no_ftl: .asciz  "BUN_JSC_useFTLJIT=no"
no_jit: .asciz  "BUN_JSC_useJIT=no"
no_spare: .asciz "BUN_JSC_useWarmUpMarkedBlocks=no"
        .balign 8
cfg:    .fill   7, 8, 0
        .quad   mmap - _start           // for the packer
