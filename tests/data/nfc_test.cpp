// Normalization form C: what composes, what does not, and that no character is lost.
#include "data/tokenizer/nfc.h"

#include <gtest/gtest.h>

namespace megalith {
namespace {

TEST(Nfc, ComposesLettersAndOrdersMarks) {
  EXPECT_EQ(to_nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(to_nfc("q\u0307\u0323"), "q\u0323\u0307");  // class 220 before 230
  EXPECT_EQ(to_nfc("d\u0307\u0323"), "\u1e0d\u0307");
  EXPECT_EQ(to_nfc("\u212b"), "\u00c5");        // the Angstrom sign is the letter
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093c");  // excluded from composition
}

TEST(Nfc, ComposesHangulByItsArithmetic) {
  EXPECT_EQ(to_nfc("\u1100\u1161"), "\uac00");
  EXPECT_EQ(to_nfc("\u1100\u1161\u11a8"), "\uac01");
  EXPECT_EQ(to_nfc("\uac00\u11c2"), "\uac1b");
  EXPECT_EQ(to_nfc("\uac01\u11a8"), "\uac01\u11a8");
}

TEST(Nfc, KeepsTheCharacterBeforeTheTrailingConsonants) {
  EXPECT_EQ(to_nfc("\uac00\u11a7"), "\uac00\u11a7");
  EXPECT_EQ(to_nfc("\u1100\u1161\u11a7\u11a7x"), "\uac00\u11a7\u11a7x");
  EXPECT_EQ(to_nfc("\u11a7\u1100\u1161"), "\u11a7\uac00");
}

}  // namespace
}  // namespace megalith
