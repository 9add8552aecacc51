/* Event lines as JSON: kernel/json.c. */
#include <stdio.h>
#include <string.h>

#include "kernel/json.h"
#include "tests/host/fixture/test.h"

static char object[JSON_LINE_MAX + 1];

static const char *json(const char *line)
{
    size_t length = json_of_event(line, strlen(line), object);

    assert_true(length <= JSON_LINE_MAX);
    object[length] = '\0';
    return object;
}

TEST(event_and_time_come_first_and_the_keys_keep_their_order)
{
    assert_string_equal(
        json("stats t=12.034567 port=0 rx_packets=18446744073709551615 z=a a=z\r\n"),
        "{\"event\":\"stats\",\"t\":12.034567,\"port\":0,"
        "\"rx_packets\":18446744073709551615,\"z\":\"a\",\"a\":\"z\"}\r\n");
}

TEST(only_plain_decimal_numbers_are_numbers)
{
    static const char *const numbers[] = {"0", "-1", "10", "0.5", "-0.25", "12.000000"};
    static const char *const texts[] = {"",    "-",  "00",  "01",  "1.",    ".5",      "1e5",
                                        "0x1", "+1", "1-2", "1,2", "1.2.3", "00:03.0", "--1"};
    char line[64], expected[64];

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        snprintf(line, sizeof(line), "e v=%s", numbers[i]);
        snprintf(expected, sizeof(expected), "{\"event\":\"e\",\"v\":%s}\r\n", numbers[i]);
        assert_string_equal(json(line), expected);
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        snprintf(line, sizeof(line), "e v=%s", texts[i]);
        snprintf(expected, sizeof(expected), "{\"event\":\"e\",\"v\":\"%s\"}\r\n", texts[i]);
        assert_string_equal(json(line), expected);
    }
    assert_string_equal(json("e v=\"5\""), "{\"event\":\"e\",\"v\":\"5\"}\r\n");
}

TEST(quoted_values_are_resolved_and_escaped_anew)
{
    assert_string_equal(json("warn t=0.1 word=\"say \\\"hi\\\" \\\\ a=b\" next=1"),
                        "{\"event\":\"warn\",\"t\":0.1,\"word\":\"say \\\"hi\\\" \\\\ a=b\","
                        "\"next\":1}\r\n");
    assert_string_equal(json("e a=\"\\x0d\\xff \""),
                        "{\"event\":\"e\",\"a\":\"\\u000d\\u00ff \"}\r\n");
    assert_string_equal(json("e a=\"\\xg\\x1\""), "{\"event\":\"e\",\"a\":\"xgx1\"}\r\n");
    assert_string_equal(json("e a=\"\""), "{\"event\":\"e\",\"a\":\"\"}\r\n");
    /* Without quotes a backslash is one. */
    assert_string_equal(json("e a=x\\x0d"), "{\"event\":\"e\",\"a\":\"x\\\\x0d\"}\r\n");
}

TEST(bytes_that_json_cannot_hold_are_numbered)
{
    assert_string_equal(json("e a=\x01\x7f\xe4"),
                        "{\"event\":\"e\",\"a\":\"\\u0001\\u007f\\u00e4\"}\r\n");
}

TEST(lines_without_shape_still_give_an_object)
{
    assert_string_equal(json("\r\n"), "{\"event\":\"\"}\r\n");
    assert_string_equal(json("bye"), "{\"event\":\"bye\"}\r\n");
    assert_string_equal(json("bye t=1.0 \r\n"), "{\"event\":\"bye\",\"t\":1.0}\r\n");
    assert_string_equal(json("e word =x"), "{\"event\":\"e\",\"word\":true,\"\":\"x\"}\r\n");
    assert_string_equal(json("e a=\"cut..."), "{\"event\":\"e\",\"a\":\"cut...\"}\r\n");
    assert_string_equal(json("e a=\"cut\\"), "{\"event\":\"e\",\"a\":\"cut\\\\\"}\r\n");
}

TEST(what_does_not_fit_is_left_out_whole_and_told)
{
    char line[LOG_LINE_MAX + 1] = "e first=1 long=";

    memset(line + strlen(line), 0xff, LOG_LINE_MAX - strlen(line));
    assert_string_equal(json(line), "{\"event\":\"e\",\"first\":1,\"cut\":true}\r\n");
    memset(line, 0xff, LOG_LINE_MAX);
    json(line);
    assert_string_equal(object + strlen(object) - 4, "\"}\r\n");
}

TEST(every_length_of_a_line_of_plain_text_fits)
{
    for (size_t length = 0; length <= LOG_LINE_MAX; length++) {
        char line[LOG_LINE_MAX + 1];
        for (size_t i = 0; i < length; i++)
            line[i] = "e ab=1 "[i % 4 == 3 ? 1 : i % 7];
        line[length] = '\0';
        json(line);
        assert_null(strstr(object, "\"cut\""));
        assert_string_equal(object + strlen(object) - 3, "}\r\n");
    }
}
