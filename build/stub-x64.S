/*
 * Entry stub of the self-contained executable, x86-64. It is position independent.
 * build/pack.ts fills in the words at `cfg`. The bytes are checked in as stub-x64.bin; to make them anew:
 *     gcc -c -nostdlib stub-x64.S -o stub.o && objcopy -O binary -j .text stub.o stub-x64.bin
 */
        .intel_syntax noprefix
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
        .set PATH_SIZE, 14              # "/proc/self/fd/", before the digits
        .set MAKING, 254                # what is under way, among the errors of `messages`: these two are no errors
        .set OPENING, 255
        .text
        .globl _start
_start: endbr64
        mov     rbp, rsp                # kernel's block: argc, argv.., 0, envp.., 0, auxv
        lea     r12, [rip+cfg]
        mov     r13, [r12+CFG_LIBS]     # -> lib table in the RW segment
        /* a limit on file sizes shall come as an error, not as SIGXFSZ: what that did before is kept at [rsp] */
        sub     rsp, 64                 # two of struct sigaction
        mov     qword ptr [rsp+32], 1   # SIG_IGN
        mov     qword ptr [rsp+40], 0
        mov     qword ptr [rsp+48], 0
        mov     qword ptr [rsp+56], 0
        lea     rsi, [rsp+32]
        mov     rdx, rsp
        call    sigxfsz
/* 1. one memfd per library, with the headers that the loader reads; its number goes into the library's DT_NEEDED string */
1:      mov     rdi, [r13+LIB_NAME]
        test    rdi, rdi
        jz      5f
        mov     r15d, MAKING
        mov     esi, 9                  # MFD_CLOEXEC | MFD_NOEXEC_SEAL: also allowed where vm.memfd_noexec is 2 (Linux 6.3)
        mov     eax, 319                # memfd_create
        syscall
        test    eax, eax
        jns     14f
        mov     esi, 1                  # older kernels: MFD_CLOEXEC
        mov     eax, 319
        syscall
        test    eax, eax
        js      fail
14:
        mov     r14d, eax
        mov     [r13+LIB_FD], rax
        mov     rsi, [r13+LIB_ADDR]
        mov     rdx, [r13+LIB_SIZE]
2:      mov     edi, r14d
        mov     eax, 1                  # write
        syscall
        test    rax, rax
        jle     fail
        add     rsi, rax
        sub     rdx, rax
        jnz     2b
        /* decimal digits of the fd */
        mov     rdi, [r13+LIB_DIGITS]
        mov     eax, r14d
        mov     ecx, 10
        xor     ebx, ebx
3:      xor     edx, edx
        div     ecx
        add     edx, '0'
        push    rdx
        inc     ebx
        test    eax, eax
        jnz     3b
4:      pop     rax
        mov     [rdi], al
        inc     rdi
        dec     ebx
        jnz     4b
        mov     byte ptr [rdi], 0
        /* what the loader will open is opened here first: its own words about it would be of libraries */
        mov     r15d, OPENING
        mov     edi, -100               # AT_FDCWD
        mov     rsi, [r13+LIB_DIGITS]
        sub     rsi, PATH_SIZE
        mov     edx, 0x80000            # O_RDONLY | O_CLOEXEC
        mov     eax, 257                # openat
        syscall
        test    eax, eax
        js      fail
        mov     edi, eax
        mov     eax, 3                  # close
        syscall
        add     r13, LIB__SIZE
        jmp     1b
5:      mov     rsi, rsp
        xor     edx, edx
        call    sigxfsz
/* a restore that is given no cache and no image is over before compilers pay: rbx is what the runtime is told of them */
        lea     rbx, [rip+no_ftl]
        lea     rdi, [rbp+16]           # behind argv[0]
        cmp     dword ptr [rbp], 2      # argc
        jb      40f
        mov     rax, [rdi]
        cmp     byte ptr [rax], '-'
        jne     41f                     # a command
38:     mov     rax, [rdi]
        test    rax, rax
        jz      40f
        add     rdi, 8
39:     mov     ecx, [rax]
        cmp     ecx, 0x68636163         # "cach"
        je      41f
        cmp     ecx, 0x6c697562         # "buil"
        je      41f
        cmp     ecx, 0x67616d69         # "imag"
        je      41f
        cmp     cl, '-'
        lea     rax, [rax+1]
        je      39b
        jmp     38b
40:     lea     rbx, [rip+no_jit]
/* 2. the environment; the auxiliary vector, as the kernel would have made it with PT_INTERP */
41:     mov     rax, [rbp]              # argc
        lea     rdi, [rbp+rax*8+16]     # envp
        movabs  r14, 0x484341435f424e43 # "CNB_CACH"
        movabs  r13, 0x4c4955425f424e43 # "CNB_BUIL"
        movabs  r15, 0x5f43534a5f4e5542 # "BUN_JSC_"
6:      mov     rax, [rdi]
        add     rdi, 8
        test    rax, rax
        jz      7f
        cmp     [rax], r14
        je      43f
        cmp     [rax], r13
        je      43f
        cmp     [rax], r15
        jne     42f
        cmp     dword ptr [rax+8], 0x4a657375 # "useJ", as the user wants it, or a restore that begins again
        jne     42f
43:     lea     rbx, [rip+no_ftl]
42:
        /* LD_* is hidden from the loader, which else would look for libraries that it names */
        mov     ecx, [rax]
        and     ecx, 0xffffff
        cmp     ecx, 0x5f444c           # "LD_"
        jne     6b
        mov     byte ptr [rax], 1
        jmp     6b
7:      mov     rax, [rdi]              # a_type
        cmp     eax, 3                  # AT_PHDR
        jne     8f
        mov     rcx, [r12+CFG_PHDR]
        mov     [rdi+8], rcx
8:      cmp     eax, 5                  # AT_PHNUM
        jne     9f
        mov     rcx, [r12+CFG_PHNUM]
        mov     [rdi+8], rcx
9:      cmp     eax, 7                  # AT_BASE
        jne     10f
        mov     rcx, [r12+CFG_BASE]
        mov     [rdi+8], rcx
10:     cmp     eax, 9                  # AT_ENTRY
        jne     11f
        lea     rcx, [rip+entered]
        mov     [rdi+8], rcx
11:     add     rdi, 16
        test    rax, rax
        jnz     7b
/* 3. two settings for the runtime, behind the user's, which count more: argc, argv and envp move down to make room */
        lea     rsp, [rbp-16]
        mov     rsi, rbp
        mov     rdi, rsp
        mov     rcx, [rbp]              # argc
        add     rcx, 2
        rep movsq
36:     lodsq
        test    rax, rax
        jz      37f
        stosq
        jmp     36b
37:     mov     rax, rbx
        stosq
        lea     rax, [rip+no_spare]     # two of them also keep the stack aligned
        stosq
        /* on to the loader */
        mov     rax, [r12+CFG_LDENTRY]
        xor     edx, edx
        xor     ebp, ebp
        jmp     rax
/* 4. the loader is done: close the memfds, start the program (rdx = _dl_fini must survive) */
entered: endbr64
        lea     r12, [rip+cfg]
        /* the program sees LD_* again, and gives it to those that it starts */
        mov     rax, [rsp]              # argc
        lea     rdi, [rsp+rax*8+16]     # envp
18:     mov     rax, [rdi]
        add     rdi, 8
        test    rax, rax
        jz      19f
        mov     ecx, [rax]
        and     ecx, 0xffffff
        cmp     ecx, 0x5f4401           # "\1D_"
        jne     18b
        mov     byte ptr [rax], 0x4c
        jmp     18b
19:
        mov     r13, [r12+CFG_LIBS]
12:     cmp     qword ptr [r13+LIB_NAME], 0
        je      13f
        mov     rdi, [r13+LIB_FD]
        mov     eax, 3                  # close
        syscall
        add     r13, LIB__SIZE
        jmp     12b
13:     mov     r13, rdx
        /* link_map.l_name of the libraries: /proc/self/fd/N means another file, maybe a pipe, to a debugger */
        mov     rax, [r12+CFG_DEBUG]    # -> DT_DEBUG's value in .dynamic
        mov     rax, [rax]              # struct r_debug
        test    rax, rax
        jz      16f
        mov     rax, [rax+8]            # r_map
        mov     r14, [r12+CFG_LIBS]
        movabs  rbx, 0x65732f636f72702f # "/proc/se"
15:     test    rax, rax
        jz      16f
        mov     rcx, [rax+8]            # l_name
        cmp     [rcx], rbx
        jne     17f
        mov     rcx, [r14+LIB_NAME]
        mov     [rax+8], rcx
        add     r14, LIB__SIZE
17:     mov     rax, [rax+24]           # l_next
        jmp     15b
16:     mov     r14, [r12+CFG_LIBS]
        mov     qword ptr [r14+LIB_NAME], 0 # from here on no file is ours
        mov     rdx, r13
        mov     rax, [r12+CFG_ENTRY]
        jmp     rax
/*
 * The loader's calls of mmap come here in place of the system call, which spoils rcx and r11: that is where to go on. What it
 * wants to map of a memfd the kernel has mapped already, from the executable: that is moved to where the loader wants it, or to
 * where the kernel would have put it. Other files it may not map, then and later: no library of others comes in, as those of
 * /etc/nsswitch.conf would.
 */
mmap:   lea     rsp, [rsp-128]          # what a function keeps below its stack
        push    r11
        test    r8d, r8d
        jns     20f
        mov     eax, 9                  # no file
        syscall
        jmp     31f
20:     push    rbx
        push    r12
        push    r13
        push    rdi
        push    rsi
        push    rdx
        push    r8
        push    r9
        push    r10
        push    rax
        /* which one: e_shoff of a library, which nobody needs, leads to its row */
        mov     edi, r8d
        mov     rsi, rsp
        mov     edx, 8
        mov     r10d, 40
        mov     eax, 17                 # pread64
        syscall
        cmp     rax, 8
        jne     29f
        mov     rdi, [rsp+48]           # as they were
        mov     rsi, [rsp+40]
        mov     rdx, [rsp+32]
        mov     r10, [rsp+8]
        mov     r13, [rip+cfg+CFG_LIBS]
21:     cmp     qword ptr [r13+LIB_NAME], 0
        je      29f
        cmp     r13, [rsp]
        je      22f
        add     r13, LIB__SIZE
        jmp     21b
22:     cmp     qword ptr [r13+LIB_IS_PLACED], 0
        jne     28f
        mov     rbx, rdi
        test    r10d, 0x10              # MAP_FIXED
        jnz     24f
        xor     edi, edi
        xor     edx, edx                # PROT_NONE: the range alone
        mov     r10d, 0x22              # MAP_PRIVATE | MAP_ANONYMOUS
        mov     r8, -1
        xor     r9d, r9d
        mov     eax, 9                  # mmap
        syscall
        cmp     rax, -4096
        ja      30f
        mov     rbx, rax
24:     mov     qword ptr [r13+LIB_IS_PLACED], 1
        mov     r12, [r13+LIB_SEGMENTS]
25:     mov     rsi, [r12+SEGMENT_SIZE]
        test    rsi, rsi
        jz      27f
        mov     rdi, [r12+SEGMENT_ADDR]
        mov     rdx, rsi
        mov     r10d, 3                 # MREMAP_MAYMOVE | MREMAP_FIXED
        mov     r8, [r12+SEGMENT_OFFSET]
        add     r8, rbx
        mov     eax, 25                 # mremap
        syscall
        cmp     rax, -4096
        ja      30f
        add     r12, SEGMENT__SIZE
        jmp     25b
27:     mov     rax, rbx
        jmp     30f
        /* further segments are in place; the loader may have closed what lies between the first and the last */
28:     mov     eax, 10                 # mprotect
        syscall
        test    rax, rax
        cmovz   rax, rdi
        jmp     30f
29:     mov     rax, -13                # another file: EACCES
30:     pop     r10                     # not rax
        pop     r10
        pop     r9
        pop     r8
        pop     rdx
        pop     rsi
        pop     rdi
        pop     r13
        pop     r12
        pop     rbx
31:     pop     r11
        lea     rsp, [rsp+128]
        jmp     r11
/* rt_sigaction(SIGXFSZ, rsi, rdx) */
sigxfsz:
        mov     edi, 25
        mov     r10d, 8
        mov     eax, 13
        syscall
        ret
/* eax is the error, r15d what was under way */
fail:   neg     eax
        lea     rsi, [rip+messages]
32:     movzx   ecx, byte ptr [rsi]
        movzx   edx, byte ptr [rsi+1]
        add     rsi, 2
        cmp     ecx, eax
        je      33f
        cmp     ecx, r15d
        je      33f
        add     rsi, rdx
        jmp     32b
33:     mov     edi, 2
        mov     eax, 1                  # write
        syscall
        mov     edi, 127
        mov     eax, 231                # exit_group
        syscall
        .macro  message error, text
        .byte   \error, 35f - 34f
34:     .ascii  "ERROR: restorer cannot start: \text\n"
35:
        .endm
messages:
        message 24, "this process may not open any more files (see ulimit -n)"
        message 23, "this machine may not open any more files (see fs.file-max)"
        message 12, "there is not enough memory"
        message MAKING, "no memory file can be made (memfd_create is refused, or ulimit -f allows no file of 4 KiB)"
        message OPENING, "/proc/self/fd cannot be read (is /proc mounted?)"
        /* what it brings stands in docs/performance.md; lib/cli/runtime.ts keeps it from children */
no_ftl: .asciz  "BUN_JSC_useFTLJIT=no"
no_jit: .asciz  "BUN_JSC_useJIT=no"
no_spare: .asciz "BUN_JSC_useWarmUpMarkedBlocks=no"
        .balign 8
cfg:    .fill   7, 8, 0
        .quad   mmap - _start           # for the packer: where the loader's calls of mmap shall go
