#include "app/report/escape.h"

#include <gtest/gtest.h>

namespace megalith::app {
namespace {

TEST(EscapeHtml, TurnsMarkupIntoText) {
  EXPECT_EQ(escape_html("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
}

TEST(EscapeHtml, KeepsTextOfAllScripts) {
  EXPECT_EQ(escape_html("na\xC3\xAFve \xE6\xBC\xA2 \xF0\x9F\x98\x80\n\tx"),
            "na\xC3\xAFve \xE6\xBC\xA2 \xF0\x9F\x98\x80\n\tx");
}

TEST(EscapeHtml, ShowsBytesThatAreNotUtf8) {
  EXPECT_EQ(escape_html("\xFF"), "<span class=\"byte\">\\xFF</span>");
  EXPECT_EQ(escape_html("\xC3"), "<span class=\"byte\">\\xC3</span>");  // cut short
  EXPECT_EQ(escape_html("\xC0\xAF"),
            "<span class=\"byte\">\\xC0</span><span class=\"byte\">\\xAF</span>");  // overlong /
  EXPECT_EQ(escape_html("\xED\xA0\x80").find('\xED'), std::string::npos);           // half a surrogate pair
}

TEST(EscapeHtml, ShowsControlsAndCharactersThatReorderText) {
  EXPECT_EQ(escape_html("\x1B[31m"), "<span class=\"byte\">\\x1B</span>[31m");
  EXPECT_EQ(escape_html(std::string_view("\0", 1)), "<span class=\"byte\">\\x00</span>");
  EXPECT_EQ(escape_html("\xE2\x80\xAE"), "<span class=\"byte\">\\u202E</span>");
}

TEST(ShowInvalidUtf8, ChangesOnlyWhatIsInvalid) {
  EXPECT_EQ(show_invalid_utf8("caf\xE9 caf\xC3\xA9", "\\\\"), "caf\\\\xE9 caf\xC3\xA9");
}

}  // namespace
}  // namespace megalith::app
