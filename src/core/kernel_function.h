// MEGALITH_KERNEL stands before functions that also run inside kernels of an accelerator. Compilers for one
// need a word there, which the build passes with -D (cmake/cuda.cmake); for everybody else it is empty.
#pragma once

#ifndef MEGALITH_KERNEL
#define MEGALITH_KERNEL
#endif
