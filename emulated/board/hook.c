// What turns programs of this computer into those of a board, loaded into each of them by LD_PRELOAD: an arm64 program
// is started under qemu, uname(2) names the board's architecture, and files that the board has of its own are opened in
// place of this computer's. Linux with glibc; needs no root.
//
// Only what shells and their tools call is here: programs that are started through `exec l` forms or are linked
// statically see this computer.

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

// Read once: a program like `env -i` empties the environment before it starts another one.
static const char *emulator, *cpu, *machine, *root;

__attribute__((constructor)) static void configure(void) {
  const char *folder = getenv("EMULATED_BOARD_ROOT");
  root = folder != NULL ? strdup(folder) : NULL;
  if (getenv("EMULATED_BOARD_QEMU") == NULL) return;
  emulator = strdup(getenv("EMULATED_BOARD_QEMU"));
  cpu = strdup(getenv("EMULATED_BOARD_CPU"));
  machine = "aarch64";
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// The board's own file if it has one of this path. Folders right below / stay this computer's: the board's have but a
// few files of what these have.
static const char *seen(const char *path, char *buffer) {
  if (root == NULL || path == NULL || path[0] != '/') return path;
  const char *below = strchr(path + 1, '/');
  if (below == NULL || below[strspn(below, "/.")] == '\0') return path;
  int saved = errno;
  int length = snprintf(buffer, PATH_MAX, "%s%s", root, path);
  struct stat found;
  bool own = length < PATH_MAX && syscall(SYS_newfstatat, AT_FDCWD, buffer, &found, AT_SYMLINK_NOFOLLOW) == 0;
  errno = saved;
  return own ? buffer : path;
}

static bool foreign(const char *path) {
  if (emulator == NULL) return false;
  Elf64_Ehdr header;
  int saved = errno;
  int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  ssize_t count = file >= 0 ? read(file, &header, sizeof header) : -1;
  if (file >= 0) close(file);
  errno = saved;
  return count == (ssize_t)sizeof header && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
         header.e_machine == EM_AARCH64 && access(path, X_OK) == 0;
}

// The path of a program that is looked for on PATH as execvp(3) does; NULL if it is not the board's.
static const char *found(const char *name, char *buffer) {
  if (strchr(name, '/') != NULL) return foreign(name) ? name : NULL;
  const char *path = getenv("PATH");
  if (emulator == NULL || path == NULL) return NULL;
  for (const char *end; *path != '\0'; path = *end != '\0' ? end + 1 : end) {
    end = strchrnul(path, ':');
    int length = snprintf(buffer, PATH_MAX, "%.*s/%s", (int)(end - path), path, name);
    if (length < PATH_MAX && access(buffer, X_OK) == 0) return foreign(buffer) ? buffer : NULL;
  }
  return NULL;
}

enum { ADDED = 9 };

static size_t count_of(char *const argv[]) {
  size_t count = 0;
  while (argv[count] != NULL) count++;
  return count;
}

// The command line that starts an arm64 program; `command` has room for ADDED words more than `argv`, and its end.
static void emulated(const char *path, char *const argv[], const char **command) {
  const char *first[ADDED + 1] = {emulator, "-L", root, "-cpu", cpu, "-U", "LD_PRELOAD", "-0", argv[0], path};
  memcpy(command, first, sizeof first);
  for (size_t i = 1; i <= count_of(argv); i++) command[ADDED + i] = argv[i];
}

int execve(const char *path, char *const argv[], char *const envp[]) {
  if (!foreign(path)) return NEXT(execve)(path, argv, envp);
  const char *command[count_of(argv) + ADDED + 2];
  emulated(path, argv, command);
  return NEXT(execve)(emulator, (char *const *)command, envp);
}

int execv(const char *path, char *const argv[]) { return execve(path, argv, environ); }

int execvpe(const char *name, char *const argv[], char *const envp[]) {
  char buffer[PATH_MAX];
  const char *path = found(name, buffer);
  return path != NULL ? execve(path, argv, envp) : NEXT(execvpe)(name, argv, envp);
}

int execvp(const char *name, char *const argv[]) { return execvpe(name, argv, environ); }

static int spawn(__typeof__(&posix_spawn) next, pid_t *pid, const char *name, const char *path,
                 const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes, char *const argv[],
                 char *const envp[]) {
  if (path == NULL) return next(pid, name, actions, attributes, argv, envp);
  const char *command[count_of(argv) + ADDED + 2];
  emulated(path, argv, command);
  return next(pid, emulator, actions, attributes, (char *const *)command, envp);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]) {
  return spawn(NEXT(posix_spawn), pid, path, foreign(path) ? path : NULL, actions, attributes, argv, envp);
}

int posix_spawnp(pid_t *pid, const char *name, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]) {
  char buffer[PATH_MAX];
  return spawn(NEXT(posix_spawnp), pid, name, found(name, buffer), actions, attributes, argv, envp);
}

int uname(struct utsname *name) {
  int code = (int)syscall(SYS_uname, name);
  if (code == 0 && machine != NULL) strcpy(name->machine, machine);
  return code;
}

// Functions that take a path and are otherwise left alone.
#define PATHS(type, name, parameters, arguments) \
  type name parameters { \
    static __typeof__(&name) next; \
    char buffer[PATH_MAX]; \
    if (next == NULL) next = NEXT(name); \
    path = seen(path, buffer); \
    return next arguments; \
  }

PATHS(int, stat, (const char *path, struct stat *result), (path, result))
PATHS(int, stat64, (const char *path, struct stat64 *result), (path, result))
PATHS(int, lstat, (const char *path, struct stat *result), (path, result))
PATHS(int, lstat64, (const char *path, struct stat64 *result), (path, result))
PATHS(int, fstatat, (int folder, const char *path, struct stat *result, int flags), (folder, path, result, flags))
PATHS(int, fstatat64, (int folder, const char *path, struct stat64 *result, int flags), (folder, path, result, flags))
PATHS(int, statx, (int folder, const char *path, int flags, unsigned mask, struct statx *result),
      (folder, path, flags, mask, result))
PATHS(int, access, (const char *path, int mode), (path, mode))
PATHS(int, faccessat, (int folder, const char *path, int mode, int flags), (folder, path, mode, flags))
PATHS(int, euidaccess, (const char *path, int mode), (path, mode))
PATHS(int, chdir, (const char *path), (path))
PATHS(ssize_t, readlink, (const char *path, char *target, size_t size), (path, target, size))
PATHS(DIR *, opendir, (const char *path), (path))
PATHS(FILE *, fopen, (const char *path, const char *mode), (path, mode))
PATHS(FILE *, fopen64, (const char *path, const char *mode), (path, mode))

// Those with a mode that is there only for files that may be created; and what _FORTIFY_SOURCE makes of the calls.
#define OPENS(name, fortified, before, folder) \
  int name(before const char *path, int flags, ...) { \
    char buffer[PATH_MAX]; \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    return (int)syscall(SYS_openat, folder, seen(path, buffer), flags, mode); \
  } \
  int fortified(before const char *path, int flags); \
  int fortified(before const char *path, int flags) { \
    char buffer[PATH_MAX]; \
    return (int)syscall(SYS_openat, folder, seen(path, buffer), flags, 0); \
  }
#define IN int at,

OPENS(open, __open_2, , AT_FDCWD)
OPENS(open64, __open64_2, , AT_FDCWD)
OPENS(openat, __openat_2, IN, at)
OPENS(openat64, __openat64_2, IN, at)
