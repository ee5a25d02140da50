"""One canonical set of shop events, and what other vocabularies call them.

The canonical names are those of GA4's recommended e-commerce events, because most catalogs and platforms know them;
GA4's own events therefore keep their names, but for those listed.
Sources: segment.com/docs/connections/spec/ecommerce/v2 (RudderStack's is the same), and GA4's recommended events.
"""

from __future__ import annotations

from collections.abc import Mapping

SEGMENT: Mapping[str, str] = {
    "products_searched": "search",
    "product_list_viewed": "view_item_list",
    "product_list_filtered": "filter_item_list",
    "promotion_viewed": "view_promotion",
    "promotion_clicked": "select_promotion",
    "product_clicked": "select_item",
    "product_viewed": "view_item",
    "product_added": "add_to_cart",
    "product_removed": "remove_from_cart",
    "cart_viewed": "view_cart",
    "cart_shared": "share",
    "checkout_started": "begin_checkout",
    "checkout_step_viewed": "checkout_step_viewed",
    "checkout_step_completed": "checkout_progress",
    "payment_info_entered": "add_payment_info",
    "order_completed": "purchase",
    "order_updated": "order_updated",
    "order_refunded": "refund",
    "order_cancelled": "order_cancelled",
    "coupon_entered": "coupon_entered",
    "coupon_applied": "coupon_applied",
    "coupon_denied": "coupon_denied",
    "coupon_removed": "coupon_removed",
    "product_added_to_wishlist": "add_to_wishlist",
    "product_removed_from_wishlist": "remove_from_wishlist",
    "wishlist_product_added_to_cart": "add_to_cart",
    "product_shared": "share",
    "product_reviewed": "review",
    "signed_up": "email_signup",
}
GA4: Mapping[str, str] = {
    "sign_up": "email_signup",
    "ecommerce_purchase": "purchase",
    "in_app_purchase": "purchase",
    "view_search_results": "search",
    "set_checkout_option": "add_payment_info",
}
