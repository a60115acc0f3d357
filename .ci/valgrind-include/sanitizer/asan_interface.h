// Luau marks free blocks in its pages for AddressSanitizer; this tells valgrind instead.
#include <valgrind/memcheck.h>
#define __asan_poison_memory_region(address, size) VALGRIND_MAKE_MEM_NOACCESS((address), (size))
#define __asan_unpoison_memory_region(address, size) VALGRIND_MAKE_MEM_DEFINED((address), (size))
