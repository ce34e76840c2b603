// The network's image out of the frame, in one kernel: what edge_inspect/geometry/warping.py does on the CPU.
//
// One thread makes one network pixel: no barrier, no shared memory, no include. Mono, RGB, BGR or 8-bit Bayer goes in; the
// network's image comes out, uint8 or float32, (height, width, channels). Its numbers are integers, but for one product in
// nearest_mean, so that a device and a CPU (tests/unit/runtimes/cuda_shim.h) cannot differ by an order of sums, a fused
// multiply-add or a rounding mode.
//
// It rounds to a grey level where the CPU's warp does: block means, then the bilinear reading, then grey from colour.
// Rounded once, at the end, the image would be nearer to real numbers and further from the CPU's, for which thresholds are made.
//
// C++14, for nvcc and NVRTC. Seen compiled, not run: nobody had a GPU when this was written.

// Positions are counted in 2^-32 blocks; a reading lies between its four blocks at a multiple of 2^-16, the next one to the left.
#define FRACTION_ONE 65536

// edge_inspect/runtimes/gpu_warp.py: WarpParameters, in the same order.
struct Plan {
    long long along_u_x, along_v_x, offset_x;  // network pixel (u, v) to block position x [2^-32 blocks]
    long long along_u_y, along_v_y, offset_y;  // and to y
    long long pitch;                           // from one row of the frame to the next [bytes]
    int frame_width, frame_height;             // [px]
    int left, top, right, bottom;              // window that is averaged, half-open [frame px]
    int block_width, block_height;             // [frame px]; the last block of a row or column ends with the window
    int width, height, channels;               // the network's image; channels is 1 or 3
    int kind;                                  // of pixel: one of the three below
    int red_x, red_y;  // COLOUR: red is sample 0 or 2 of a pixel (red_x). BAYER: a red pixel's column and row, 0 or 1
};

enum { MONO = 0, COLOUR = 1, BAYER = 2 };

__device__ inline int clamped(long long index, int last) {
    return index < 0 ? 0 : index > last ? last : (int)index;
}

__device__ inline unsigned sample(const Plan& plan, const unsigned char* frame, int column, int row) {
    return frame[row * plan.pitch + column];
}

// How a pixel of each kind is read: `levels` grey levels, red first.

struct Mono {
    enum { levels = 1 };
    static __device__ void read(const Plan& plan, const unsigned char* frame, int x, int y, unsigned* level) {
        level[0] = sample(plan, frame, x, y);
    }
};

struct Colour {
    enum { levels = 3 };
    static __device__ void read(const Plan& plan, const unsigned char* frame, int x, int y, unsigned* level) {
        level[0] = sample(plan, frame, 3 * x + plan.red_x, y);
        level[1] = sample(plan, frame, 3 * x + 1, y);
        level[2] = sample(plan, frame, 3 * x + 2 - plan.red_x, y);
    }
};

// A colour that a Bayer pixel lacks is the mean of the two or four nearest pixels that have it, half a level rounded up. The
// frame's outermost pixels, which lack neighbours, take all three colours of the nearest pixel that has them. So does OpenCV.
struct Bayer {
    enum { levels = 3 };

    static __device__ int inner(int index, int length) {
        return 1 + clamped(index - 1, length - 3);
    }

    static __device__ void read(const Plan& plan, const unsigned char* frame, int at_x, int at_y, unsigned* level) {
        const int x = inner(at_x, plan.frame_width), y = inner(at_y, plan.frame_height);
        const unsigned beside = sample(plan, frame, x - 1, y) + sample(plan, frame, x + 1, y);
        const unsigned above = sample(plan, frame, x, y - 1) + sample(plan, frame, x, y + 1);
        const unsigned itself = sample(plan, frame, x, y);
        const bool in_red_column = (x & 1) == plan.red_x, in_red_row = (y & 1) == plan.red_y;
        if (in_red_column == in_red_row) {
            const unsigned diagonal = sample(plan, frame, x - 1, y - 1) + sample(plan, frame, x + 1, y - 1) +
                                      sample(plan, frame, x - 1, y + 1) + sample(plan, frame, x + 1, y + 1);
            level[0] = in_red_row ? itself : (diagonal + 2) / 4;
            level[1] = (beside + above + 2) / 4;
            level[2] = in_red_row ? (diagonal + 2) / 4 : itself;
        } else {
            level[0] = ((in_red_row ? beside : above) + 1) / 2;
            level[1] = itself;
            level[2] = ((in_red_row ? above : beside) + 1) / 2;
        }
    }
};

template <class Pixel>
__device__ void add_pixel(const Plan& plan, const unsigned char* frame, int x, int y, unsigned* sum) {
    unsigned level[Pixel::levels];
    Pixel::read(plan, frame, x, y, level);
    for (int c = 0; c < Pixel::levels; ++c) sum[c] += level[c];
}

// Adds the mean of 2 x 2 pixels, half a level rounded up.
template <class Pixel>
__device__ void add_halved(const Plan& plan, const unsigned char* frame, int x, int y, unsigned* sum) {
    unsigned four[Pixel::levels] = {};
    for (int i = 0; i < 4; ++i) add_pixel<Pixel>(plan, frame, x + (i & 1), y + (i >> 1), four);
    for (int c = 0; c < Pixel::levels; ++c) sum[c] += (four[c] + 2) / 4;
}

// A mean as OpenCV's INTER_AREA rounds it: of 2 x 2 pixels half a level goes up; else it is a product of float32, and half a
// level goes to the even one. Three instructions whose rounding IEEE 754 fixes and no compiler may fuse.
// Source: OpenCV imgproc/src/resize.cpp, resizeAreaFast_Invoker.
__device__ inline unsigned nearest_mean(unsigned sum, int across, int down) {
    if (across == 2 && down == 2) return (sum + 2) / 4;
    return __float2uint_rn(__fmul_rn((float)sum, __frcp_rn((float)(across * down))));
}

// Mean of a block. One that is even both ways is halved first, like the CPU's.
template <class Pixel>
__device__ void block_mean(const Plan& plan, const unsigned char* frame, int column, int row, unsigned* mean) {
    const int left = plan.left + column * plan.block_width, top = plan.top + row * plan.block_height;
    const int right = clamped((long long)left + plan.block_width, plan.right);
    const int bottom = clamped((long long)top + plan.block_height, plan.bottom);
    const int width = right - left, height = bottom - top;
    const bool halved = width % 2 == 0 && height % 2 == 0;
    const int step = halved ? 2 : 1, across = width / step, down = height / step;
    unsigned sum[Pixel::levels] = {};
    for (int y = top; y < bottom; y += step)
        for (int x = left; x < right; x += step)
            if (halved) add_halved<Pixel>(plan, frame, x, y, sum);
            else add_pixel<Pixel>(plan, frame, x, y, sum);
    for (int c = 0; c < Pixel::levels; ++c) mean[c] = nearest_mean(sum[c], across, down);
}

// Rounds a sum of levels times weights, where the weights make 2^32, to the nearest level, half a level to the even one.
__device__ inline unsigned nearest_level(unsigned long long weighted) {
    const unsigned level = (unsigned)(weighted >> 32), rest = (unsigned)weighted, half = 0x80000000u;
    return level + (rest > half || (rest == half && (level & 1)));
}

// Network pixel (u, v): bilinear between the four nearest blocks; beyond the outermost ones these are repeated.
template <class Pixel>
__device__ void read_between_blocks(const Plan& plan, const unsigned char* frame, int u, int v, unsigned* level) {
    const long long x = (plan.along_u_x * u + plan.along_v_x * v + plan.offset_x) >> 16;
    const long long y = (plan.along_u_y * u + plan.along_v_y * v + plan.offset_y) >> 16;
    const unsigned rightwards = (unsigned)(x & (FRACTION_ONE - 1)), downwards = (unsigned)(y & (FRACTION_ONE - 1));
    const int last_column = (plan.right - plan.left - 1) / plan.block_width;
    const int last_row = (plan.bottom - plan.top - 1) / plan.block_height;
    unsigned long long weighted[Pixel::levels] = {};
    for (int i = 0; i < 4; ++i) {
        const int right = i & 1, down = i >> 1;
        const unsigned long long weight = (unsigned long long)(right ? rightwards : FRACTION_ONE - rightwards) *
                                          (down ? downwards : FRACTION_ONE - downwards);
        if (weight == 0) continue;
        unsigned mean[Pixel::levels];
        block_mean<Pixel>(plan, frame, clamped((x >> 16) + right, last_column), clamped((y >> 16) + down, last_row), mean);
        for (int c = 0; c < Pixel::levels; ++c) weighted[c] += weight * mean[c];
    }
    for (int c = 0; c < Pixel::levels; ++c) level[c] = nearest_level(weighted[c]);
}

// 0.299 R + 0.587 G + 0.114 B in 2^-15, rounded to the nearest level: to the bit what OpenCV's cvtColor gives.
__device__ inline unsigned grey_from(const unsigned* level) {
    return (9798 * level[0] + 19235 * level[1] + 3735 * level[2] + 16384) >> 15;
}

template <class Pixel, class Element>
__device__ void warp_pixel(const Plan& plan, const unsigned char* frame, Element* image, int u, int v) {
    unsigned level[Pixel::levels];
    read_between_blocks<Pixel>(plan, frame, u, v, level);
    Element* out = image + ((long long)v * plan.width + u) * plan.channels;
    if (plan.channels == 1) out[0] = (Element)(Pixel::levels == 1 ? level[0] : grey_from(level));
    else for (int c = 0; c < 3; ++c) out[c] = (Element)level[c % Pixel::levels];
}

template <class Element>
__device__ void warp(const Plan& plan, const unsigned char* frame, Element* image) {
    const int u = blockIdx.x * blockDim.x + threadIdx.x, v = blockIdx.y * blockDim.y + threadIdx.y;
    if (u >= plan.width || v >= plan.height) return;
    if (plan.kind == MONO) warp_pixel<Mono>(plan, frame, image, u, v);
    else if (plan.kind == COLOUR) warp_pixel<Colour>(plan, frame, image, u, v);
    else warp_pixel<Bayer>(plan, frame, image, u, v);
}

extern "C" __global__ void warp_to_uint8(Plan plan, const unsigned char* __restrict__ frame, unsigned char* __restrict__ image) {
    warp(plan, frame, image);
}

extern "C" __global__ void warp_to_float32(Plan plan, const unsigned char* __restrict__ frame, float* __restrict__ image) {
    warp(plan, frame, image);
}
