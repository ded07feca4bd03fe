// An arena takes one block from its memory, hands it out, and gives it back once, moved or not.

#include "core/arena.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>
#include <vector>

namespace megalith {
namespace {

// Memory that keeps the books, as a device's would.
class BookedMemory final : public ArenaMemory {
 public:
  std::byte* reserve(const std::string& arena, std::size_t bytes) override {
    reserved.emplace_back(arena, bytes);
    std::byte* block = host_memory().reserve(arena, bytes);
    held[block] = bytes;
    return block;
  }
  void give_back(std::byte* memory, std::size_t bytes) noexcept override {
    EXPECT_EQ(held[memory], bytes);
    held.erase(memory);
    host_memory().give_back(memory, bytes);
  }
  std::vector<std::pair<std::string, std::size_t>> reserved;
  std::map<std::byte*, std::size_t> held;
};

TEST(Arena, TakesOneBlockFromItsMemoryAndGivesItBack) {
  BookedMemory memory;
  {
    Arena arena("stash", 4096, memory);
    const Tensor first = arena.allocate(DType::f32, {10});
    const Tensor second = arena.allocate(DType::bf16, {3, 5});
    EXPECT_EQ(static_cast<std::byte*>(second.data) - static_cast<std::byte*>(first.data), 64);
    Arena moved = std::move(arena);
    EXPECT_EQ(moved.used(), 128u);
    EXPECT_EQ(memory.held.size(), 1u);
  }
  EXPECT_EQ(memory.reserved, (std::vector<std::pair<std::string, std::size_t>>{{"stash", 4096}}));
  EXPECT_TRUE(memory.held.empty());
}

TEST(Arena, AsksNobodyForNothing) {
  BookedMemory memory;
  const Arena arena("empty", 0, memory);
  EXPECT_TRUE(memory.reserved.empty());
}

TEST(Arena, StartsWithZeros) {
  Arena arena("zeros", 1 << 16);
  const Tensor bytes = arena.allocate(DType::u8, {1 << 16});
  for (int i = 0; i < 1 << 16; ++i) ASSERT_EQ(bytes.as<std::uint8_t>()[i], 0);
}

}  // namespace
}  // namespace megalith
