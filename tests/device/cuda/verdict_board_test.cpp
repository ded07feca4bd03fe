#include "device/cuda/verdict_board.h"

#include <gtest/gtest.h>

#include <deque>

namespace megalith::cuda {
namespace {

constexpr auto kNoWait = [] {};

TEST(VerdictBoard, TellsEachVerdictItsOwnWord) {
  std::vector<std::uint32_t> words(VerdictBoard::kWords);
  VerdictBoard board(words);
  Verdict good;
  Verdict bad;
  std::uint32_t* good_word = board.word_of(&good, kNoWait);
  std::uint32_t* bad_word = board.word_of(&bad, kNoWait);
  EXPECT_NE(good_word, bad_word);
  EXPECT_EQ(board.word_of(&bad, kNoWait), bad_word);
  *bad_word = 1;
  EXPECT_FALSE(bad.bad()) << "not before the device was waited for";
  board.settle();
  EXPECT_TRUE(bad.bad());
  EXPECT_FALSE(good.bad());
}

TEST(VerdictBoard, ForgetsWhatIsSettled) {
  std::vector<std::uint32_t> words(VerdictBoard::kWords);
  VerdictBoard board(words);
  {
    Verdict gone;
    *board.word_of(&gone, kNoWait) = 1;
    board.settle();
  }
  Verdict next;
  board.word_of(&next, kNoWait);
  board.settle();
  EXPECT_FALSE(next.bad());
}

TEST(VerdictBoard, NobodysWordIsNobodysVerdict) {
  std::vector<std::uint32_t> words(VerdictBoard::kWords);
  VerdictBoard board(words);
  Verdict verdict;
  std::uint32_t* word = board.word_of(&verdict, kNoWait);
  *board.word_of(nullptr, kNoWait) = 1;
  EXPECT_EQ(*word, 0u);
  board.settle();
  EXPECT_FALSE(verdict.bad());
}

TEST(VerdictBoard, WaitsWhenItIsFull) {
  std::vector<std::uint32_t> words(VerdictBoard::kWords);
  VerdictBoard board(words);
  std::deque<Verdict> verdicts(3 * VerdictBoard::kWords);
  int waits = 0;
  for (Verdict& verdict : verdicts) *board.word_of(&verdict, [&] { ++waits; }) = 1;
  board.settle();
  EXPECT_EQ(waits, 3);
  for (const Verdict& verdict : verdicts) EXPECT_TRUE(verdict.bad());
}

}  // namespace
}  // namespace megalith::cuda
