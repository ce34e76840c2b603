// Runs a CUDA kernel that has no barrier on the CPU: every thread of the launch, one after the other.
// Include it before the kernel's source, which stays as it is.
#pragma once

#include <cmath>

#define __global__
#define __device__

static thread_local struct {
    unsigned x, y;
} blockIdx, blockDim, threadIdx;

// Rounded to nearest, half to even: what a CPU does where nobody has changed its mode.
inline float __fmul_rn(float a, float b) {
    return a * b;
}

inline float __frcp_rn(float a) {
    return 1.0f / a;
}

inline unsigned __float2uint_rn(float a) {
    return (unsigned)std::nearbyint(a);
}

template <class Kernel, class... Arguments>
void launch(const unsigned* grid, const unsigned* block, Kernel kernel, Arguments... arguments) {
    blockDim.x = block[0];
    blockDim.y = block[1];
    for (blockIdx.y = 0; blockIdx.y < grid[1]; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < grid[0]; ++blockIdx.x)
            for (threadIdx.y = 0; threadIdx.y < block[1]; ++threadIdx.y)
                for (threadIdx.x = 0; threadIdx.x < block[0]; ++threadIdx.x) kernel(arguments...);
}

// run_NAME(grid, block, parameters, source, target): the launch as a C function; grid and block are two numbers, across and down.
#define LAUNCH_OF(NAME, PARAMETERS, SOURCE, TARGET)                                                              \
    extern "C" void run_##NAME(const unsigned* grid, const unsigned* block, const void* parameters, const SOURCE* source, \
                               TARGET* target) {                                                                 \
        launch(grid, block, NAME, *static_cast<const PARAMETERS*>(parameters), source, target);                  \
    }
